# SPDX-License-Identifier: Apache-2.0
"""The second executor from the agent's side: started, used, ended, and what is said where there is none."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metacni import shim
from metacni.cni.names import PluginType
from metacni.exec.executor import STAY, Executor, NoExecutor, Unavailable
from metacni.exec.frames import Call, Execution
from metacni.exec.home import Home


def children() -> set[str]:
    """The processes that are ours, zombies too."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


def plugin(folder: Path, script: str) -> Execution:
    """A plugin, and the request to run it."""
    file = folder / "fake"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Execution(type=PluginType("fake"), path=(str(folder),), environment={"CNI_COMMAND": "DEL"}, stdin=b"in")


def stand_in(folder: Path, script: str) -> Path:
    """A program in the binary's place."""
    file = folder / "stand-in"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_block_has_a_runner_and_leaves_no_process(tmp_path: Path) -> None:
    """It runs what it is asked for; afterwards it is gone and reaped."""
    before = children()
    with Executor(shim.binary(), STAY).runner() as runner:
        assert len(children() - before) == 1
        output = runner.run(plugin(tmp_path, "cat; echo $CNI_COMMAND"), timeout=10)
        assert (output.status, output.stdout) == (0, b"inDEL\n")
    assert children() == before


def test_a_block_that_fails_leaves_no_process() -> None:
    """The error is the block's own."""
    before = children()
    with pytest.raises(ZeroDivisionError), Executor(shim.binary(), STAY).runner():
        raise ZeroDivisionError
    assert children() == before


def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C in the agent's terminal is not for the plugin of an undo."""
    with Executor(shim.binary(), STAY).runner() as runner:
        output = runner.run(plugin(tmp_path, "cut -d ' ' -f 6 /proc/self/stat"), timeout=10)
    assert int(output.stdout) != os.getsid(0)


def test_without_a_host_pid_it_stays_where_process_1_cannot_be_entered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and remembers."""
    binary = stand_in(tmp_path, f'[ "$3" = 1 ] && {{ echo no way in >&2; exit 3; }}; exec {shim.binary()} "$@"')
    executor = Executor(binary)
    for _ in range(2):
        with executor.runner() as runner:
            assert runner.find([PluginType("gone")], ()) == {"gone"}
    assert [record.cause for record in caplog.records] == [  # type: ignore[attr-defined]
        "cannot run plugins without the runtime: no way in"
    ]


def test_a_host_pid_that_was_asked_for_is_no_suggestion() -> None:
    """Where its mount namespace cannot be entered there is no executor, and the cause and the need are told."""
    executor = Executor(shim.binary(), 999_999_999)
    with pytest.raises(Unavailable) as caught, executor.runner():
        pass
    assert caught.value.code == 11
    assert "cannot enter the mount namespace of process 999999999" in caught.value.msg
    assert "SYS_PTRACE" in caught.value.details


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param("exit 7", "it ended with status 7", id="it-ends-at-once"),
        pytest.param("echo a reason >&2; exit 1", "a reason", id="it-says-why"),
    ],
)
def test_a_binary_that_does_not_serve_is_no_executor(tmp_path: Path, script: str, told: str) -> None:
    """The first answer is what counts."""
    before = children()
    with pytest.raises(Unavailable) as caught, Executor(stand_in(tmp_path, script), STAY).runner():
        pass
    assert caught.value.msg == f"cannot run plugins without the runtime: {told}"
    assert children() == before


def test_a_binary_that_is_not_there_is_no_executor(tmp_path: Path) -> None:
    """The path is named."""
    executor = Executor(tmp_path / "none", STAY)
    with pytest.raises(Unavailable, match=r"'.*/none': no such file or directory$"), executor.runner():
        pass


def home(folder: Path, cgroup: str) -> Home:
    """A runtime that called from these cgroups."""
    made = Home(folder)
    made.remember(Call(program="metacni", parent="containerd", environment={}, stdin=b"", cgroup=cgroup))
    return made


def test_each_start_is_told_of_the_cgroups_that_are_known_by_then(tmp_path: Path) -> None:
    """Where the runtime lives can change while the agent runs, or become known."""
    said = tmp_path / "said"
    runtime = Home(tmp_path)
    binary = stand_in(tmp_path, f'printf "%s\\n" "$*" >> {said}; exec {shim.binary()} --executor --host-pid 0')
    executor = Executor(binary, STAY, runtime)
    for cgroup in (None, "5:memory:/a b\n0::/c\n", "0::/\udce9\nmemory:/../d\n"):
        if cgroup is not None:
            runtime.remember(Call(program="multus", parent="", environment={}, stdin=b"", cgroup=cgroup))
        with executor.runner() as runner:
            assert runner.find([PluginType("gone")], ()) == {"gone"}
    assert said.read_bytes().splitlines() == [
        b"--executor --host-pid 0",
        b"--executor --host-pid 0 --cgroup memory:/a b --cgroup :/c",
        b"--executor --host-pid 0 --cgroup :/\xe9",
    ]


def test_what_it_says_of_a_cgroup_goes_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The work is done all the same."""
    with Executor(shim.binary(), STAY, home(tmp_path, "0::/there/is/none\n")).runner() as runner:
        assert runner.run(plugin(tmp_path, "exit 0"), timeout=10).status == 0
    assert "cannot join the cgroup ':/there/is/none'" in str(caplog.records[0].cause)  # type: ignore[attr-defined]


def test_an_agent_that_runs_nothing_by_itself_says_why() -> None:
    """The setting's side of the same door."""
    with pytest.raises(Unavailable, match="without the runtime: it was told so"), NoExecutor("it was told so").runner():
        pass


def test_it_ends_with_the_agent(tmp_path: Path) -> None:
    """An agent that is killed in a block leaves neither executor nor plugin."""
    request = plugin(tmp_path, "echo $$ > $0.pid; sleep 1000")
    code = (
        "import sys\nfrom pathlib import Path\nfrom metacni.exec.executor import Executor\n"
        "from metacni.exec.frames import Execution\n"
        f"with Executor(Path({str(shim.binary())!r}), 0).runner() as runner:\n"
        f"    runner.run(Execution(type='fake', path=({str(tmp_path)!r},), environment={{}}, stdin=b''), timeout=60)\n"
    )
    agent = os.posix_spawn(sys.executable, [sys.executable, "-c", code], dict(os.environ))
    file = Path(f"{request.path[0]}/fake.pid")
    wait(lambda: file.exists() and file.read_text().strip() != "")
    os.kill(agent, 9)
    os.waitpid(agent, 0)
    wait(lambda: not Path(f"/proc/{file.read_text().strip()}").exists())


def wait(reached: Callable[[], bool]) -> None:
    """Until it is so."""
    until = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.01)
