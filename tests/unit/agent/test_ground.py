# SPDX-License-Identifier: Apache-2.0
"""What a missing right or mount is called; with the kernel's own tables: tests/kernel/test_ground.py."""

import os
from pathlib import Path

import pytest

from metacni.agent import ground
from metacni.agent.ground import Ground
from metacni.agent.settings import Settings

ALL = "000001ffffffffff"
FIVE = "00000000002c3000"  # SYS_ADMIN, NET_ADMIN, SYS_CHROOT, SYS_PTRACE, NET_RAW
HOST = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
CONTAINER = """\
90 80 0:50 / / ro - overlay overlay ro
91 90 254:0 /run/metacni /run/metacni rw - tmpfs tmpfs rw
92 90 254:0 /run/netns /run/netns ro master:9 - tmpfs tmpfs rw
93 90 254:0 /var/lib/cni /var/lib/cni rw - ext4 /dev/vda rw
94 90 0:21 /sys/net /proc/sys/net rw - proc proc rw
"""
WAITS = "work without a call waits for the runtime"
IN_THE_HOST = f"it is needed to run plugins without a call in the host's mount namespace; {WAITS}"
SETTINGS = Settings(host_paths=("/var/lib/cni",))

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an agent of another user is a trial")


def proc(folder: Path, *, held: str = FIVE, own: str = CONTAINER, first: str = HOST) -> Path:
    """A /proc that tells this of us and of process 1."""
    for name, table in (("self", own), ("1", first)):
        (folder / name / "ns").mkdir(parents=True)
        (folder / name / "mountinfo").write_text(table)
        (folder / name / "ns" / "mnt").touch()
    (folder / "self" / "status").write_text(f"Name:\tx\nCapPrm:\t{ALL}\nCapEff:\t{held}\n")
    return folder


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet sets this in each container."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")


@pytest.fixture
def no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests run."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def look(folder: Path, chosen: Settings = SETTINGS, host_pid: int | None = None) -> Ground:
    """What is missing; the folders are those of the example."""
    folders = {"state folder": Path("/var/lib/cni/metacni"), "folder of the socket": Path("/run/metacni")}
    return ground.inspect(chosen, folders=folders, host_pid=host_pid, proc=folder)


@as_root
@pytest.mark.usefixtures("pod")
def test_the_pod_of_the_example_lacks_nothing(tmp_path: Path) -> None:
    """Its five capabilities and its mounts are enough."""
    assert look(proc(tmp_path)) == Ground()


@as_root
@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("held", "errors", "warnings"),
    [
        pytest.param(
            "00000000000c3000",
            ["capability SYS_ADMIN is missing: it is needed to enter a pod's network namespace"],
            [],
            id="SYS_ADMIN",
        ),
        pytest.param(
            "00000000002c2000",
            ["capability NET_ADMIN is missing: it is needed to change links, addresses and routes"],
            [],
            id="NET_ADMIN",
        ),
        pytest.param(
            "0000000000283000",
            [],
            [f"capability SYS_CHROOT is missing: {IN_THE_HOST}"],
            id="SYS_CHROOT",
        ),
        pytest.param(
            "0000000000243000",
            [],
            [f"capability SYS_PTRACE is missing: {IN_THE_HOST}"],
            id="SYS_PTRACE",
        ),
        pytest.param(
            "00000000002c1000",
            [],
            ["capability NET_RAW is missing: it is needed for iptables, which plugins without a call may start"],
            id="NET_RAW",
        ),
    ],
)
def test_each_capability_is_named(held: str, errors: list[str], warnings: list[str], tmp_path: Path) -> None:
    """What each ADD needs is an error, what only work without a call needs a warning."""
    found = look(proc(tmp_path, held=held))
    assert (list(found.errors), list(found.warnings)) == (errors, warnings)


@as_root
@pytest.mark.usefixtures("pod")
def test_without_an_executor_nobody_asks_for_its_rights(tmp_path: Path) -> None:
    """`executor: none` is how the three go."""
    two = proc(tmp_path, held="0000000000201000")
    assert look(two, Settings(executor="none", host_paths=())) == Ground()
    assert ground.why_no_executor(Settings(executor="none"), proc=two) == ""


@as_root
@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param("91", "the folder of the socket '/run/metacni' is not mounted from the host", id="socket"),
        pytest.param(
            "92",
            "netnsDir '/run/netns' is not mounted from the host: every pod would look as if it were gone",
            id="namespaces",
        ),
        pytest.param(
            "94",
            "sysctlDir '/proc/sys/net' is no part of a proc file system: mount the host's /proc/sys/net there",
            id="sysctls",
        ),
    ],
)
def test_each_mount_is_named(line: str, told: str, tmp_path: Path) -> None:
    """A container's own folder of that name helps nobody."""
    rest = "".join(f"{each}\n" for each in CONTAINER.splitlines() if not each.startswith(line))
    assert look(proc(tmp_path, own=rest)).errors == (told,)


@as_root
@pytest.mark.usefixtures("pod")
def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """Nobody has to start it five times to learn of five mistakes."""
    found = look(proc(tmp_path, held="0", own=CONTAINER.splitlines()[0]))
    assert [line.partition(" is ")[0] for line in found.errors] == [
        "capability SYS_ADMIN",
        "capability NET_ADMIN",
        "sysctlDir '/proc/sys/net'",
        "the state folder '/var/lib/cni/metacni'",
        "the folder of the socket '/run/metacni'",
        "hostPaths '/var/lib/cni'",
        "netnsDir '/run/netns'",
    ]


@as_root
@pytest.mark.usefixtures("pod")
def test_namespaces_that_are_made_later_have_to_show(tmp_path: Path) -> None:
    """A mount without propagation shows what was there when the container began, and would keep that alive."""
    (told,) = look(proc(tmp_path, own=CONTAINER.replace(" master:9", ""))).errors
    assert told.startswith("netnsDir '/run/netns' is mounted without mountPropagation HostToContainer")


@as_root
@pytest.mark.usefixtures("pod")
def test_without_host_pid_the_executor_would_stay_in_the_container(tmp_path: Path) -> None:
    """Process 1 is then the container's own, where no plugin is; `--host-pid 0` says that this is wanted."""
    inside = proc(tmp_path, first=CONTAINER)
    assert ground.why_no_executor(SETTINGS, proc=inside).startswith("hostPID is missing")
    assert [line.partition(":")[0] for line in look(inside).warnings] == ["hostPID is missing"]
    assert look(inside, host_pid=0) == Ground()


@as_root
@pytest.mark.usefixtures("pod")
def test_a_process_1_that_lets_nobody_in_is_named(tmp_path: Path) -> None:
    """Whatever keeps us out, a security module perhaps: in the container no plugin would be found."""
    folder = proc(tmp_path)
    (folder / "1" / "ns" / "mnt").unlink()
    assert [line.partition(":")[0] for line in look(folder).warnings] == ["process 1 is closed to the agent"]


@as_root
@pytest.mark.usefixtures("no_pod")
def test_on_the_host_no_mount_is_asked_for(tmp_path: Path) -> None:
    """The folders are there, and what does not exist yet is made."""
    home = HOST + CONTAINER.splitlines()[-1] + "\n"
    assert look(proc(tmp_path, held=ALL, own=home)) == Ground()
    assert ground.why_no_executor(Settings(), proc=tmp_path) == ""


@as_root
@pytest.mark.usefixtures("no_pod")
def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """Before anything has been touched; a folder that does not exist yet is judged by where it will be made."""
    found = ground.inspect(Settings(), folders={"state folder": Path("/proc/none/state")}, proc=proc(tmp_path))
    assert "the state folder '/proc/none/state' cannot be written" in found.errors or os.access("/proc", os.W_OK)


@as_root
@pytest.mark.usefixtures("no_pod")
def test_a_folder_that_is_no_sysctl_folder_is_named(tmp_path: Path) -> None:
    """Missing, or something else."""
    empty = Settings(sysctl_dir=tmp_path / "none")
    assert look(proc(tmp_path), empty).errors == (
        f"sysctlDir '{tmp_path / 'none'}' does not show the host's /proc/sys/net: mount it there",
    )


@pytest.mark.usefixtures("pod")
def test_in_a_pod_nothing_is_the_hosts_but_what_is_said_to_be(tmp_path: Path) -> None:
    """Even if process 1 shares our mounts: then it is the container's own (decision 5)."""
    seen = ground.visible(Settings(), proc(tmp_path, own=HOST))
    assert not seen("/var/lib/cni")


@pytest.mark.usefixtures("no_pod")
@pytest.mark.parametrize(
    ("own", "expected"), [pytest.param(HOST, True, id="at-home"), pytest.param(CONTAINER, False, id="elsewhere")]
)
def test_without_a_pod_the_mount_namespace_decides(own: str, expected: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """The host's own: everything; another: nothing; no path that climbs."""
    seen = ground.visible(Settings(), proc(tmp_path, own=own))
    assert seen("/etc/anything") is expected
    assert not seen("/etc/../anything")


def test_host_paths_decide_alone_where_they_are_given(tmp_path: Path) -> None:
    """At or below one of them, by name; also with none in the list."""
    seen = ground.visible(Settings(host_paths=("/var/lib/cni", "/etc/cni/")), tmp_path)
    assert [path for path in ("/var/lib/cni", "/etc/cni/x", "/var/lib/cni/../x", "/var/lib") if seen(path)] == [
        "/var/lib/cni",
        "/etc/cni/x",
    ]
    assert not ground.visible(Settings(host_paths=()), tmp_path)("/var/lib/cni")
