# SPDX-License-Identifier: Apache-2.0
"""What runs when the runtime does not call runs in the runtime's cgroups all the same, memory's among them.

On a v1 or hybrid machine there is one in each hierarchy, on a v2 machine one; the tests take what they find.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from metacni import shim
from metacni.cni.names import PluginType
from metacni.exec import cgroup
from metacni.exec.executor import STAY, Executor
from metacni.exec.frames import Call, Execution
from metacni.exec.home import Home
from tests.kernel.networks import bridge
from tests.kernel.node import Node, Pod, eventually, node_of_test

node = node_of_test
TRIED = ("memory", "pids", "name=systemd", "")  # cpuset would not take a process before it has CPUs
SECONDS = 10.0

RECORDING = """#!/bin/sh
cat > /dev/null
cat /proc/self/cgroup > "{root}/$CNI_COMMAND.part" && mv "{root}/$CNI_COMMAND.part" "{root}/$CNI_COMMAND"
[ "$CNI_COMMAND" = ADD ] || exit 0
[ -e "{root}/flag" ] && exec sleep 600
echo '{{"cniVersion": "1.0.0", "interfaces": [{{"name": "net2", "sandbox": "any"}}]}}'
"""

NEW_VIEW = """
set -e
for option in $2; do
    mkdir -p "$1/view/$option"
    case $option in
        cgroup2) mount -t cgroup2 none "$1/view/$option" ;;
        *) mount -t cgroup -o "$option" none "$1/view/$option" ;;
    esac
done
echo ready
exec sleep 600
"""
"""A container's view: in a cgroup namespace of its own, mounts that begin at its own cgroups."""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """One cgroup in each hierarchy, below the test's own."""

    folders: Mapping[str, Path]
    paths: Mapping[str, str]
    before: Mapping[str, Path]

    def text(self, below: str = "") -> str:
        """What /proc says of a process in all of them."""
        return text({one: f"{path}{below}" for one, path in self.paths.items()})

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What is started in the block is in them; this process goes back afterwards."""
        try:
            for folder in self.folders.values():
                move(folder)
            yield
        finally:
            for folder in self.before.values():
                move(folder)

    def remove(self) -> None:
        """Take them away; a process that has just died may hold them for a moment."""
        for folder in self.folders.values():
            eventually(partial(removed, folder))


def text(paths: Mapping[str, str]) -> str:
    """Write /proc/PID/cgroup; the number of a hierarchy is the kernel's choice, but for cgroup2's."""
    return "".join(f"{7 if controllers else 0}:{controllers}:{path}\n" for controllers, path in paths.items())


def move(folder: Path) -> None:
    """Move this process, with all its threads."""
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def removed(folder: Path) -> bool:
    """Remove a cgroup if it is there and empty."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def mounted() -> dict[str, Path]:
    """Where each hierarchy is mounted from its root: one of its controllers, or "" for cgroup2 → folder."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split()
        if kind.startswith("cgroup") and head.split()[3] == "/":
            names = [""] if kind == "cgroup2" else options.split(",")
            found |= {name: Path(head.split()[4]) for name in names if name not in found}
    return found


def memberships(said: str) -> dict[str, str]:
    """Read /proc/PID/cgroup: controllers → path."""
    return {one.controllers: one.path for one in cgroup.parse(said)[0]}


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    """Make one in each hierarchy."""
    where, own = mounted(), memberships(Path("/proc/self/cgroup").read_text())
    before = {one: where[one] / own[one].lstrip("/") for one in TRIED if one in where and one in own}
    name = f"mc-test-{uuid4().hex[:10]}"
    made = Cgroups(
        folders={one: folder / name for one, folder in before.items()},
        paths={one: f"{own[one].rstrip('/')}/{name}" for one in before},
        before=before,
    )
    assert made.folders
    for folder in made.folders.values():
        folder.mkdir()
    yield made
    made.remove()


@pytest.fixture
def recording(cgroups: Cgroups, node: Node) -> Node:
    """A node with a plugin that hangs at ADD and records where it runs; its agent is none of the runtime's cgroups."""
    del cgroups  # made before the node, so that it goes after it
    node.program("recording", RECORDING.format(root=node.root))
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.define("recording", {"cniVersion": "1.0.0", "type": "recording"})
    (node.root / "flag").touch()
    node.start()
    return node


def killed_in_add(node: Node, cgroups: Cgroups, *, with_agent: bool = False) -> Pod:
    """A runtime in these cgroups calls, and its shim is killed when the second plugin runs; perhaps the agent first."""
    pod = node.pod("lan,recording")
    with cgroups.inside():
        call = node.popen("ADD", pod)
    eventually((node.root / "ADD").exists)
    if with_agent:
        node.stop(signal.SIGKILL)
    call.process.kill()
    call.answer()
    return pod


def seen(node: Node, verb: str) -> dict[str, str]:
    """Where the recording plugin ran."""
    eventually((node.root / verb).exists)
    return memberships((node.root / verb).read_text())


def there(found: Mapping[str, str], cgroups: Cgroups) -> dict[str, str]:
    """The hierarchies in which the test has a cgroup."""
    return {one: path for one, path in found.items() if one in cgroups.paths}


def test_the_undo_of_a_killed_shim_runs_where_the_runtime_is(recording: Node, cgroups: Cgroups) -> None:
    """In every hierarchy that the shim was in, and only the plugin goes there, never the agent."""
    pod = killed_in_add(recording, cgroups)
    assert there(seen(recording, "DEL"), cgroups) == dict(cgroups.paths)
    assert there(seen(recording, "ADD"), cgroups) == dict(cgroups.paths)
    assert recording.agent is not None
    own = memberships(Path(f"/proc/{recording.agent.pid}/cgroup").read_text())
    assert own == memberships(Path("/proc/self/cgroup").read_text())
    eventually(lambda: recording.left(pod) == [])
    assert "cannot join" not in recording.log()


def test_the_next_agent_knows_where_the_runtime_is(recording: Node, cgroups: Cgroups) -> None:
    """Recovery has work before the first call: what the last agent saw is in its state, and only for root's eyes."""
    pod = killed_in_add(recording, cgroups, with_agent=True)
    assert (recording.state / "cgroup").stat().st_mode & 0o777 == 0o600
    recording.start()
    assert there(seen(recording, "DEL"), cgroups) == dict(cgroups.paths)
    eventually(lambda: recording.left(pod) == [])


def test_where_the_runtimes_cgroup_is_gone_the_work_is_done_in_the_agents(recording: Node, cgroups: Cgroups) -> None:
    """A runtime that lives elsewhere since its last call is no reason to leave a pod's networks behind; it is told."""
    pod = killed_in_add(recording, cgroups, with_agent=True)
    cgroups.remove()
    recording.start()
    assert seen(recording, "DEL") == memberships(Path("/proc/self/cgroup").read_text())
    eventually(lambda: recording.left(pod) == [])
    for one, path in cgroups.paths.items():
        assert f"cannot join the cgroup '{one}:{path}': No such file or directory" in recording.log()


def looking(folder: Path, script: str) -> Execution:
    """A plugin that prints where it is."""
    file = folder / "looking"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Execution(type=PluginType("looking"), path=(str(folder),), environment={}, stdin=b"")


def home_of(folder: Path, told: str) -> Home:
    """A runtime that called from these cgroups."""
    home = Home(folder)
    home.remember(Call(program="metacni", parent="containerd", environment={}, stdin=b"", cgroup=told))
    return home


def test_where_no_call_has_told_it_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And says nothing."""
    with Executor(shim.binary(), STAY, Home(tmp_path)).runner() as runner:
        output = runner.run(looking(tmp_path, "cat /proc/self/cgroup"), timeout=SECONDS)
    assert output.stdout.decode() == Path("/proc/self/cgroup").read_text()
    assert caplog.messages == []


def test_one_hierarchy_that_is_closed_costs_only_itself(
    tmp_path: Path, cgroups: Cgroups, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are joined."""
    home = home_of(tmp_path, cgroups.text() + "8:no-such-controller:/a\n")
    with Executor(shim.binary(), STAY, home).runner() as runner:
        output = runner.run(looking(tmp_path, "cat /proc/self/cgroup"), timeout=SECONDS)
    assert there(memberships(output.stdout.decode()), cgroups) == dict(cgroups.paths)
    assert [record.cause for record in caplog.records] == [  # type: ignore[attr-defined]
        "cannot join the cgroup 'no-such-controller:/a': its hierarchy is not mounted"
    ]


@pytest.fixture
def container(cgroups: Cgroups, tmp_path: Path) -> Iterator[int]:
    """A process whose cgroup namespace begins at the test's cgroups, as on a node that is a container."""
    options = ["cgroup2" if one == "" else one.replace("name=systemd", "none,name=systemd") for one in cgroups.folders]
    command = ["unshare", "--cgroup", "--mount", "sh", "-c", NEW_VIEW, "sh", str(tmp_path), " ".join(options)]
    with ExitStack() as stack:
        with cgroups.inside():
            holder = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(holder.kill)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        for folder in cgroups.folders.values():
            (folder / "runtime").mkdir()
            stack.callback(eventually, partial(removed, folder / "runtime"))
        yield holder.pid


def test_paths_are_those_of_the_hosts_cgroup_namespace(tmp_path: Path, cgroups: Cgroups, container: int) -> None:
    """On a node in a container /runtime is below the container's root, and the machine's own mounts lead outside."""
    paths = dict.fromkeys(cgroups.paths, "/runtime")
    request = looking(tmp_path, "cat /proc/self/cgroup; readlink /proc/self/ns/cgroup")
    with Executor(shim.binary(), container, home_of(tmp_path, text(paths))).runner() as runner:
        output = runner.run(request, timeout=SECONDS)
    assert there(memberships(output.stdout.decode()), cgroups) == paths
    assert output.stdout.decode().endswith(f"{Path(f'/proc/{container}/ns/cgroup').readlink()}\n")


def test_a_cgroup_namespace_that_is_closed_is_told_in_one_line(
    tmp_path: Path, cgroups: Cgroups, caplog: pytest.LogCaptureFixture
) -> None:
    """The paths mean nothing then, so none is joined. Here by an executor without SYS_ADMIN."""
    binary = tmp_path / "weak"
    binary.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-sys_admin "{shim.binary()}" "$@"\n')
    binary.chmod(0o755)
    command = ["unshare", "--cgroup", "sh", "-c", "echo ready; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            with Executor(binary, holder.pid, home_of(tmp_path, cgroups.text())).runner() as runner:
                output = runner.run(looking(tmp_path, "cat /proc/self/cgroup"), timeout=SECONDS)
        finally:
            holder.kill()
    assert output.stdout.decode() == Path("/proc/self/cgroup").read_text()
    assert [record.cause for record in caplog.records] == [  # type: ignore[attr-defined]
        f"cannot enter the cgroup namespace of process {holder.pid}: Operation not permitted"
    ]


def test_the_agents_view_of_another_namespace_is_refused(
    tmp_path: Path, cgroups: Cgroups, container: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A path that leads out of the namespace is not followed, in whichever namespace it was seen."""
    home = home_of(tmp_path, cgroups.text("/../../runtime"))
    with Executor(shim.binary(), container, home).runner() as runner:
        output = runner.run(looking(tmp_path, "cat /proc/self/cgroup"), timeout=SECONDS)
    assert output.stdout.decode() == Path("/proc/self/cgroup").read_text()
    assert [record.message for record in caplog.records] == [
        "a cgroup of the runtime's cannot be joined by what runs without it"
    ]
