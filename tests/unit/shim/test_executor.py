# SPDX-License-Identifier: Apache-2.0
"""The real binary as the second executor: no runtime, no call, only the agent's end of a socket pair."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from metacni.exec import frames
from metacni.exec.connection import Connection
from metacni.exec.frames import Type
from tests.unit.shim.host import LIMIT, Host, dead, until


@dataclass(frozen=True, slots=True)
class Started:
    """An executor and the agent's end of its socket."""

    process: subprocess.Popen[bytes]
    sock: socket.socket
    connection: Connection

    def ended(self) -> tuple[int, bytes]:
        """Wait for its end: exit status, stderr."""
        _, said = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, said


def start(host: Host, *options: str) -> Started:
    """Start one as the agent does."""
    ours, theirs = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "KUBECONFIG": "/the/agents/own"}
    with theirs:
        process = subprocess.Popen(
            [host.binary, "--executor", *options],
            stdin=theirs.fileno(),
            stderr=subprocess.PIPE,
            env=environment,
            cwd=host.cwd,
        )
    return Started(process, ours, Connection(ours))


@pytest.fixture
def executor(host: Host) -> Iterator[Started]:
    """Start one that stays where it is."""
    started = start(host, "--host-pid", "0")
    yield started
    started.connection.close()
    assert started.ended() == (0, b"")


def test_it_finds_and_runs_one_plugin_after_another(host: Host, executor: Started) -> None:
    """The same frames as in a call, and no end after the first plugin."""
    host.plugin("cat; echo done >&2")
    assert executor.connection.find([PluginType("fake"), PluginType("gone")], [str(host.plugins)]) == {"gone"}
    for text in (b"one", b"two"):
        output = executor.connection.run(host.request(stdin=text), timeout=LIMIT)
        assert (output.status, output.stdout, output.stderr) == (0, text, b"done\n")


def test_a_plugin_gets_path_and_the_variables_of_its_request_and_nothing_else(host: Host, executor: Started) -> None:
    """What the agent's own environment holds is no plugin's business."""
    host.plugin("exec env")
    output = executor.connection.run(host.request(CNI_COMMAND="DEL", CNI_NETNS=""), timeout=LIMIT)
    ours = {line for line in output.stdout.decode().splitlines() if not line.startswith(("PWD=", "_=", "SHLVL="))}
    assert ours == {f"PATH={os.environ['PATH']}", "CNI_COMMAND=DEL", "CNI_NETNS="}


def test_a_plugin_that_hangs_is_killed_with_its_children_and_the_next_one_runs(host: Host, executor: Started) -> None:
    """KILL is obeyed as in a call."""
    host.plugin("sleep 1000 & echo $! > $0.pid; sleep 1000")
    with pytest.raises(CniError, match=r"did not finish within 0\.3 s"):
        executor.connection.run(host.request(), timeout=0.3)
    until(lambda: dead(host.pid()))
    host.plugin("echo next")
    assert executor.connection.run(host.request(), timeout=LIMIT).stdout == b"next\n"


def test_when_the_agent_goes_it_ends_and_takes_its_plugin_along(host: Host) -> None:
    """The agent's end closes, as by kill -9: the plugin's whole group goes, and nobody is left to be a zombie."""
    host.plugin("sleep 1000 & echo $! > $0.pid; sleep 1000")
    started = start(host, "--host-pid", "0")
    started.sock.sendall(frames.execute(1, host.request()))
    until(lambda: host.pid() > 0)
    started.connection.close()
    assert started.ended() == (0, b"")
    until(lambda: dead(host.pid()))


def test_a_process_whose_mounts_cannot_be_entered_is_told(host: Host) -> None:
    """One line and a status of its own, by which the agent knows it from a crash."""
    started = start(host, "--host-pid", "999999999")
    assert started.ended() == (
        3,
        b"cannot enter the mount namespace of process 999999999: No such file or directory\n",
    )
    started.connection.close()


def test_its_own_mounts_need_not_be_entered(host: Host) -> None:
    """A process that shares them will do, without any privilege."""
    started = start(host, "--host-pid", str(os.getpid()))
    assert started.connection.find([PluginType("gone")], []) == {"gone"}
    started.connection.close()
    assert started.ended() == (0, b"")


MOUNTS = """\
22 1 0:21 / /proc rw - proc proc rw
23 1 0:22 / {root}/v1 rw master:1 - tmpfs tmpfs rw,memory
24 23 0:23 / {root}/cpu rw,nosuid shared:9 master:1 propagate_from:2 - cgroup cgroup rw,cpu,cpuacct
25 23 0:24 / {root}/set rw - cgroup cgroup rw,cpuset
26 23 0:25 /other {root}/elsewhere rw - cgroup cgroup rw,memory
27 23 0:25 /node\\134x2d1/a\\040b {root}/my\\040memory rw - cgroup cgroup rw,memory
28 23 0:26 / {root}/systemd rw - cgroup  rw,xattr,name=systemd
29 23 0:27 /.. {root}/outside rw - cgroup2 cgroup2 rw,nsdelegate
30 23 0:27 / {root}/unified rw - cgroup2 cgroup2 rw,nsdelegate
31 23
"""


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of a try to join cgroups."""

    said: str
    files: dict[str, str]


def join(host: Host, root: Path, folders: Sequence[str], *cgroups: str) -> Joined:
    """Give an executor these cgroups, where these folders are; what it said, and what it wrote where."""
    files = [root / folder / "cgroup.procs" for folder in folders]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    (root / "mountinfo").write_text(MOUNTS.format(root=root))
    started = start(host, "--host-pid", "0", *(part for cgroup in cgroups for part in ("--cgroup", cgroup)))
    assert started.connection.find([PluginType("gone")], []) == {"gone"}
    started.connection.close()
    status, said = started.ended()
    assert status == 0
    return Joined(said.decode(), {folder: file.read_text() for folder, file in zip(folders, files, strict=True)})


@pytest.mark.parametrize(
    ("cgroup", "folder"),
    [
        pytest.param("cpu,cpuacct:/a", "cpu/a", id="mounted together"),
        pytest.param("cpuacct:/a", "cpu/a", id="the second of two"),
        pytest.param("cpuset:/a:b/c", "set/a:b/c", id="a longer name, and a colon"),
        pytest.param("cpuset:/", "set", id="the root"),
        pytest.param(
            "name=systemd:/system.slice/containerd.service", "systemd/system.slice/containerd.service", id="named"
        ),
        pytest.param(":/a", "unified/a", id="cgroup2, not the mount of what is outside"),
    ],
)
def test_it_joins_a_cgroup_where_its_hierarchy_is_mounted(odd: Host, tmp_path: Path, cgroup: str, folder: str) -> None:
    """Its own process is written there as 0."""
    assert join(odd, tmp_path, [folder], cgroup) == Joined("", {folder: "0"})


def test_a_mount_that_begins_deep_in_its_hierarchy_shows_what_is_below(odd: Host, tmp_path: Path) -> None:
    """As on a node that is a container itself; the kernel's escapes are undone."""
    joined = join(odd, tmp_path, ["elsewhere/runtime", "my memory/runtime"], "memory:/node\\x2d1/a b/runtime")
    assert joined == Joined("", {"elsewhere/runtime": "", "my memory/runtime": "0"})


@pytest.mark.parametrize(
    ("cgroup", "why"),
    [
        pytest.param("cpuset:/gone", "No such file or directory", id="gone"),
        pytest.param("memory:/node-2", "its hierarchy is not mounted", id="not below any mount"),
        pytest.param("memory:/node-12/b", "its hierarchy is not mounted", id="not below, but like it"),
        pytest.param("pids:/a", "its hierarchy is not mounted", id="not mounted"),
        pytest.param("cp:/a", "its hierarchy is not mounted", id="a part of a name"),
        pytest.param(f":/{'x' * 4090}", "File name too long", id="too long"),
    ],
)
def test_a_cgroup_it_cannot_join_costs_a_line_and_not_the_others(
    odd: Host, tmp_path: Path, cgroup: str, why: str
) -> None:
    """The work is done where it can be."""
    joined = join(odd, tmp_path, ["cpu/a", "systemd/b"], "cpu,cpuacct:/a", cgroup, "name=systemd:/b")
    assert joined == Joined(f"cannot join the cgroup '{cgroup}': {why}\n", {"cpu/a": "0", "systemd/b": "0"})


def test_without_a_list_of_mounts_it_stays(odd: Host, tmp_path: Path) -> None:
    """As where /proc is not mounted."""
    (tmp_path / "mountinfo").symlink_to("nowhere")
    started = start(odd, "--host-pid", "0", "--cgroup", ":/a")
    assert started.connection.find([PluginType("gone")], []) == {"gone"}
    started.connection.close()
    assert started.ended() == (0, b"cannot join the cgroup ':/a': No such file or directory\n")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--host-pid",), id="no-value"),
        pytest.param(("--host-pid", "1/../self"), id="a-path"),
        pytest.param(("--host-pid", ""), id="empty"),
        pytest.param(("--hostpid", "1"), id="unknown"),
        pytest.param(("--cgroup", "/sys/fs/cgroup"), id="a folder"),
        pytest.param(("--cgroup", "memory:a"), id="no path"),
        pytest.param(("--host-pid", "0", "--cgroup"), id="no-cgroup"),
    ],
)
def test_options_that_make_no_sense_are_a_mistake_in_the_call(host: Host, options: tuple[str, ...]) -> None:
    """Nothing is entered on a guess."""
    started = start(host, *options)
    started.connection.close()
    status, said = started.ended()
    assert (status, said[:24]) == (2, b"usage: metacni --executo")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(frames.result(0, b"", b""), id="a-result-has-no-call-to-end"),
        pytest.param(frames.pack(Type.EXEC, 1, b"fake"), id="fields-are-missing"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no-frame"),
    ],
)
def test_a_frame_that_makes_no_sense_ends_it(host: Host, frame: bytes) -> None:
    """One line on stderr, and no half-done work."""
    started = start(host, "--host-pid", "0")
    started.sock.sendall(frame)
    status, said = started.ended()
    started.connection.close()
    assert (status, said.startswith(b"cannot take a frame from the agent: ")) == (1, True)
