# SPDX-License-Identifier: Apache-2.0
"""The agent on ground that gives way: real capabilities dropped, real mounts missing, its own words about it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metacni.agent import ground, mounts
from metacni.agent.settings import Settings

PROC = Path("/proc")
SERVED = -signal.SIGKILL
METACNI = Path(sys.executable).parent / "metacni"


def agent(folder: Path, *wrapper: str, settings: str = "{}") -> "subprocess.CompletedProcess[str]":
    """Run an agent until it ends by itself, or listens: then it is ended, and its status is that of the signal."""
    (folder / "agent.yaml").write_text(settings)
    (folder / "definitions").mkdir(exist_ok=True)
    listening = folder / "run" / "cni.sock"
    listening.unlink(missing_ok=True)
    options = {
        "--config": folder / "agent.yaml",
        "--definitions": folder / "definitions",
        "--socket": listening,
        "--state-dir": folder / "state",
    }
    command = [*wrapper, str(METACNI), "agent", *(str(word) for pair in options.items() for word in pair)]
    environment = {key: value for key, value in os.environ.items() if key != "KUBERNETES_SERVICE_HOST"}
    environment |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1"} if "unshare" in wrapper else {}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until = time.monotonic() + 30
        while process.poll() is None and not listening.exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        _, said = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, "", said)


def lacks(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the lines that say what is missing; warnings stand before them."""
    return [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]


def without(*names: str) -> tuple[str, ...]:
    """Return the start of a command line that has lost capabilities for good."""
    dropped = ",".join(f"-{name}" for name in names)
    return ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--")


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        pytest.param(("sys_admin",), ["capability SYS_ADMIN"], id="sys_admin"),
        pytest.param(("net_admin",), ["capability NET_ADMIN"], id="net_admin"),
        pytest.param(("net_admin", "sys_admin"), ["capability SYS_ADMIN", "capability NET_ADMIN"], id="both"),
    ],
)
def test_an_agent_without_what_every_pod_needs_does_not_start(
    dropped: tuple[str, ...], told: list[str], tmp_path: Path
) -> None:
    """It ends with status 1, a line for each lack, and has made nothing."""
    done = agent(tmp_path, *without(*dropped))
    assert done.returncode == 1
    assert "metacni agent: cannot start, for this is missing:\n" in done.stderr
    assert [line.partition(" is missing")[0] for line in lacks(done)] == told
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("dropped", ["sys_chroot", "sys_ptrace"])
def test_a_host_agent_needs_no_right_to_go_where_it_is(dropped: str, tmp_path: Path) -> None:
    """In the host's own mount namespace plugins without a call run as they are."""
    done = agent(tmp_path, *without(dropped))
    assert (done.returncode, "is missing" in done.stderr) == (SERVED, False), done.stderr


@pytest.mark.parametrize(
    ("dropped", "name"),
    [pytest.param("sys_chroot", "SYS_CHROOT", id="chroot"), pytest.param("sys_ptrace", "SYS_PTRACE", id="ptrace")],
)
def test_elsewhere_the_executor_needs_them(dropped: str, name: str, tmp_path: Path) -> None:
    """It starts, and says which right keeps work from being done without the runtime."""
    elsewhere = ("unshare", "--mount", "--propagation", "slave", "env", "-u", "KUBERNETES_SERVICE_HOST")
    done = agent(tmp_path, *elsewhere, *without(dropped))
    assert done.returncode == SERVED, done.stderr
    assert f"capability {name} is missing" in done.stderr
    assert done.stderr.count("is missing") == 1


def test_sysctls_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """As in every container that is not privileged; mounted again elsewhere they can be, and a setting says where."""
    again = tmp_path / "again"
    again.mkdir()
    script = (
        f"mount --bind /proc/sys/net {again} && mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys "
        '&& exec env -u KUBERNETES_SERVICE_HOST "$@"'
    )
    masked = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    done = agent(tmp_path, *masked)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in lacks(done)] == ["sysctlDir '/proc/sys/net' cannot be written"]
    assert agent(tmp_path, *masked, settings=f"sysctlDir: {again}").returncode == SERVED


@pytest.mark.parametrize("what", ["a folder", "the host's disk"])
def test_what_is_no_proc_is_not_taken_for_it(what: str, tmp_path: Path) -> None:
    """A copy of the files would be written, and nothing would come of it."""
    copy = tmp_path / "sysctls" / "ipv4"
    copy.mkdir(parents=True)
    (copy / "ip_forward").write_text(what)
    done = agent(tmp_path, settings=f"sysctlDir: {copy.parent}")
    assert done.returncode == 1
    assert "is no part of a proc file system" in done.stderr


def test_a_read_only_state_folder_is_named(tmp_path: Path) -> None:
    """A forgotten volume, or one that is mounted to be read."""
    script = f'mount -t tmpfs -o ro none {tmp_path / "state"} && exec env -u KUBERNETES_SERVICE_HOST "$@"'
    (tmp_path / "state").mkdir()
    done = agent(tmp_path, "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    assert done.returncode == 1
    assert lacks(done) == [f"the state folder '{tmp_path / 'state'}' cannot be written"]


def test_in_a_pod_each_folder_must_be_a_mount(tmp_path: Path) -> None:
    """Every lack of a bare container in one answer."""
    done = agent(
        tmp_path,
        "unshare",
        "--mount",
        "--propagation",
        "private",
        settings=f"{{hostPaths: [/var/lib/cni], netnsDir: {tmp_path}}}",
    )
    assert done.returncode == 1
    assert [line.partition(" is not mounted")[0] for line in lacks(done)] == [
        f"the state folder '{tmp_path / 'state'}'",
        f"the folder of the socket '{tmp_path / 'run'}'",
        "hostPaths '/var/lib/cni'",
        f"netnsDir '{tmp_path}'",
    ]


def test_the_roots_number_tells_one_mount_namespace_from_another() -> None:
    """Without any right: a child that has left ours sees another number, and ours sees the host's."""
    assert mounts.same_namespace(PROC / "self", PROC / str(os.getppid()))
    with subprocess.Popen(["unshare", "--mount", "sleep", "60"]) as other:
        try:
            until = Path(f"/proc/{other.pid}/comm")
            while until.read_text() != "sleep\n":
                pass
            assert not mounts.same_namespace(PROC / "self", PROC / str(other.pid))
        finally:
            other.kill()


def test_the_tests_own_view_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process beside the runtime sees: everything."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert ground.visible(Settings())("/var/lib/cni/networks") is ground.at_home()
