# SPDX-License-Identifier: Apache-2.0
"""Plugins run by the real shim for the real agent's end: how they start, what they get, how badly they may end."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from metacni.exec import frames
from metacni.exec.channel import ShimGone
from metacni.exec.connection import Connection
from metacni.exec.frames import Execution, Type
from tests.unit.shim.host import LIMIT, Host, Running, dead, until


@pytest.fixture
def shim(host: Host) -> Running:
    """Start an ADD with a variable of its own."""
    return host.start("ADD", CNI_ARGS="stale", CNI_KEPT="kept", LANG="C", CNI_PATH="stale")


@pytest.fixture
def connection(host: Host, shim: Running) -> Connection:
    """Take its call."""
    del shim
    return host.accept()[0]


def test_find_says_which_plugins_are_missing(host: Host, connection: Connection) -> None:
    """Only a regular executable file of that very name is there, in any folder of the path."""
    host.plugin("")
    (host.plugins / "text").write_text("not executable")
    (host.plugins / "folder").mkdir()
    asked = [PluginType(name) for name in ("fake", "text", "folder", "gone", "../bin/fake", ".", "..", "")]
    assert connection.find(asked, ["/nowhere", "", str(host.plugins)]) == set(asked[1:])
    assert connection.find([PluginType("fake")] * 100, [str(host.plugins)]) == frozenset()
    assert connection.find([PluginType("fake")], []) == {"fake"}


def test_a_plugin_gets_its_input_and_gives_its_output(host: Host, connection: Connection) -> None:
    """Stdin goes in whole, stdout and stderr and the status come back; once more on the same connection."""
    host.plugin("cat; echo warning >&2; exit 3")
    big = os.urandom(1_000_000)
    for stdin in (big, b"", b"{}"):
        output = connection.run(host.request(stdin=stdin), timeout=LIMIT)
        assert (output.status, output.stdout, output.stderr) == (3, stdin, b"warning\n")


def test_the_largest_input_arrives(host: Host, connection: Connection) -> None:
    """4 MiB of stdin fit into a frame and through the pipe."""
    host.plugin("wc -c")
    assert connection.run(host.request(stdin=bytes(4194304)), timeout=LIMIT).stdout.strip() == b"4194304"


def test_the_environment_is_the_shims_with_the_cni_variables_replaced(host: Host, connection: Connection) -> None:
    """B8: the six are the agent's or absent, everything else is the runtime's."""
    host.plugin("/usr/bin/env -0")
    output = connection.run(host.request(CNI_COMMAND="DEL", CNI_PATH="/a:/b"), timeout=LIMIT)
    seen = dict(item.split("=", 1) for item in output.stdout.decode().split("\0") if item)
    seen.pop("PWD", None)  # the shell's own
    kept = {"CNI_KEPT": "kept", "LANG": "C", "METACNI_SOCKET": str(host.address)}
    assert seen == {"CNI_COMMAND": "DEL", "CNI_PATH": "/a:/b", **kept}


def test_a_plugin_inherits_no_descriptor_but_the_liveness_pipe(host: Host, connection: Connection) -> None:
    """Neither our socket nor the netns, nor the runtime's own pipes."""
    host.plugin("for fd in /proc/self/fd/*; do readlink $fd; done; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    output = connection.run(host.request(), timeout=LIMIT).stdout.decode()
    assert "socket:" not in output
    assert "net:[" not in output
    assert len({line for line in output.splitlines() if line.startswith("pipe:")}) == 4
    blocked, _, ignored = output.split("SigBlk:")[1].split()
    assert blocked == "0" * 16
    assert int(ignored, 16) & (1 << (signal.SIGPIPE - 1)) == 0  # which others are ignored is the runtime's affair


def test_a_plugin_leads_its_own_group(host: Host, connection: Connection) -> None:
    """So that a kill reaches all of it and nothing else."""
    host.plugin("echo $$; cut -d' ' -f5 /proc/$$/stat")
    pid, group = connection.run(host.request(), timeout=LIMIT).stdout.split()
    assert pid == group


def test_the_first_of_the_path_runs(host: Host, connection: Connection) -> None:
    """B1: in order, and what cannot be run is passed over."""
    host.plugin("echo second")
    first = host.folder / "first"
    first.mkdir()
    (first / "fake").write_text("#!/bin/sh\necho first\n")
    request = Execution(type=PluginType("fake"), path=(str(first), str(host.plugins)), environment={}, stdin=b"")
    assert connection.run(request, timeout=LIMIT).stdout == b"second\n"
    (first / "fake").chmod(0o755)
    assert connection.run(request, timeout=LIMIT).stdout == b"first\n"


def test_nothing_printed_is_an_output_too(host: Host, connection: Connection) -> None:
    """Judging it is not the shim's business."""
    host.plugin("exit 0")
    output = connection.run(host.request(stdin=b"unread" * 100_000), timeout=LIMIT)
    assert (output.status, output.stdout, output.stderr) == (0, b"", b"")


def test_a_signal_that_ends_a_plugin_is_told(host: Host, connection: Connection) -> None:
    """Negative, as subprocess does it."""
    host.plugin("kill -SEGV $$")
    assert connection.run(host.request(), timeout=LIMIT).status == -signal.SIGSEGV


@pytest.mark.parametrize("name", ["gone", "../bin/fake", "..", ""])
def test_what_is_not_on_the_path_is_an_error_of_the_configuration(
    host: Host, connection: Connection, name: str
) -> None:
    """It never runs, and the words that containerd takes for success are not used (G15)."""
    host.plugin("")
    with pytest.raises(CniError) as caught:
        connection.run(host.request(name), timeout=LIMIT)
    assert (caught.value.code, caught.value.msg) == (
        7,
        f"cannot run plugin {name!r}: it is in no folder of {str(host.plugins)!r}",
    )


@pytest.mark.parametrize(
    ("content", "code", "cause"),
    [
        pytest.param("#!/nowhere/interpreter\n", 5, "the interpreter it names is missing", id="interpreter"),
        pytest.param("\x7fELF nonsense", 5, os.strerror(errno.ENOEXEC).lower(), id="format"),
    ],
)
def test_a_start_that_fails_says_why(host: Host, connection: Connection, content: str, code: int, cause: str) -> None:
    """The kernel's errno arrives, not a guess from an exit status."""
    host.plugin("").write_text(content)
    with pytest.raises(CniError) as caught:
        connection.run(host.request(), timeout=LIMIT)
    assert (caught.value.code, caught.value.msg) == (code, f"cannot run plugin 'fake': {cause}")


@pytest.mark.parametrize("status", [126, 127])
def test_an_exit_status_is_never_taken_for_a_failed_start(host: Host, connection: Connection, status: int) -> None:
    """A plugin may end with the numbers that shells use for it."""
    host.plugin(f"exit {status}")
    assert connection.run(host.request(), timeout=LIMIT).status == status


def test_a_busy_file_is_tried_again(host: Host, connection: Connection) -> None:
    """B10: an installer that writes the binary at this moment costs a second, not the pod; its stdin arrives whole."""
    file = host.plugin("wc -c")
    with file.open("ab") as writing:
        closing = threading.Timer(0.5, writing.close)
        closing.start()
        began = time.monotonic()
        output = connection.run(host.request(stdin=bytes(1_000_000)), timeout=LIMIT)
        closing.join()
    assert output.stdout.strip() == b"1000000"
    assert 1.0 <= time.monotonic() - began < LIMIT


def test_a_file_that_stays_busy_is_given_up(host_of: Callable[[int], Host]) -> None:
    """After six more tries, with the code that asks for another attempt of the whole."""
    host = host_of(100)
    host.listen()
    host.start("ADD")
    connection, _ = host.accept()
    began = time.monotonic()
    with host.plugin("").open("ab"), pytest.raises(CniError) as caught:
        connection.run(host.request(), timeout=LIMIT)
    assert (caught.value.code, caught.value.msg) == (11, "cannot run plugin 'fake': text file busy")
    assert time.monotonic() - began >= 0.6


def test_a_kill_ends_the_wait_for_a_busy_file(host: Host, connection: Connection) -> None:
    """The deadline counts while nothing runs, too."""
    with host.plugin("").open("ab"), pytest.raises(CniError, match="text file busy"):
        connection.run(host.request(), timeout=0.1)
    host.plugin("echo next")
    assert connection.run(host.request(), timeout=LIMIT).stdout == b"next\n"


def test_ten_megabytes_of_output_kill_the_plugin(host: Host, connection: Connection, shim: Running) -> None:
    """Over 1 MiB its group is killed, and the shim never holds more than that."""
    host.plugin("echo $$ > $0.pid; head -c 10000000 /dev/zero; sleep 1000")
    with pytest.raises(CniError) as caught:
        connection.run(host.request(), timeout=LIMIT)
    assert (caught.value.code, caught.value.msg) == (
        999,
        "plugin 'fake' was killed: it printed more than 1048576 bytes",
    )
    until(lambda: dead(host.pid()))
    peak = next(line for line in Path(f"/proc/{shim.process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    if "sanitized" not in host.binary.name:
        assert int(peak.split()[1]) < 8192


def test_one_mebibyte_of_output_is_fine(host: Host, connection: Connection) -> None:
    """The limit itself is not over it."""
    host.plugin("head -c 1048576 /dev/zero")
    assert connection.run(host.request(), timeout=LIMIT).stdout == bytes(1048576)


def test_of_much_stderr_the_beginning_is_kept(host: Host, connection: Connection) -> None:
    """64 KiB; the rest is read, so that the plugin can finish."""
    host.plugin("echo first >&2; head -c 3000000 /dev/zero >&2; echo '{}'")
    output = connection.run(host.request(), timeout=LIMIT)
    assert (output.status, output.stdout, len(output.stderr), output.stderr[:6]) == (0, b"{}\n", 65536, b"first\n")


def test_a_grandchild_that_holds_the_pipes_holds_nobody(host: Host, connection: Connection) -> None:
    """The plugin's own end counts, with what was in its pipes by then, even while the grandchild goes on writing."""
    host.plugin("(while :; do echo noise >&2; done) & echo $! > $0.pid; echo '{}'; exit 0")
    began = time.monotonic()
    output = connection.run(host.request(), timeout=LIMIT)
    os.kill(host.pid(), signal.SIGKILL)
    assert (output.status, output.stdout) == (0, b"{}\n")
    assert time.monotonic() - began < LIMIT / 2
    assert connection.settle()


def test_a_plugin_that_hangs_is_killed_with_its_children(host: Host, connection: Connection) -> None:
    """At the agent's deadline, named with the seconds; and when that is reported, none of its processes is left."""
    host.plugin("sleep 1000 & echo $! > $0.pid; sleep 1000")
    with pytest.raises(CniError) as caught:
        connection.run(host.request(), timeout=0.3)
    assert (caught.value.code, caught.value.msg) == (11, "plugin 'fake' did not finish within 0.3 s")
    until(lambda: dead(host.pid()))
    host.plugin("echo next")
    assert connection.run(host.request(), timeout=LIMIT).stdout == b"next\n"


def test_a_plugin_that_leaves_its_group_is_killed_too(host: Host, connection: Connection) -> None:
    """It has joined the group of a child of its own, so a signal to the group that we made reaches nobody."""
    flee = "c = os.fork() or time.sleep(1) or os._exit(0); os.setpgid(c, c); os.setpgid(0, c); time.sleep(1000)"
    host.plugin(f"exec {sys.executable} -IS -c 'import os, time; {flee}'")
    with pytest.raises(CniError, match=r"did not finish within 0\.5 s"):
        connection.run(host.request(), timeout=0.5)
    host.plugin("echo next")
    assert connection.run(host.request(), timeout=LIMIT).stdout == b"next\n"


def test_a_bad_end_is_told_when_the_last_process_is_gone(host: Host, connection: Connection) -> None:
    """An undo must not start beside a grandchild that still works: here one in a session of its own."""
    host.plugin("setsid sh -c 'sleep 0.5; touch $0.late' $0 > /dev/null 2>&1 & exit 1")
    assert connection.run(host.request(), timeout=LIMIT).status == 1
    assert (host.plugins / "fake.late").exists()


def test_a_vanished_shim_takes_its_plugin_along(host: Host, connection: Connection, shim: Running) -> None:
    """The runtime kills the shim: PDEATHSIG ends the plugin, and the agent learns it when the plugin is gone."""
    host.plugin("echo $$ > $0.pid; exec sleep 1000")

    def kill() -> None:
        until(lambda: host.pid() > 0)
        shim.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ShimGone):
        connection.run(host.request(), timeout=LIMIT)
    killer.join()
    until(lambda: dead(host.pid()))
    assert connection.gone()
    with pytest.raises(ShimGone):
        connection.run(host.request(), timeout=LIMIT)
    with pytest.raises(ShimGone):
        connection.answer(0, b"")


def test_an_agent_that_hangs_up_takes_the_plugin_along(host: Host) -> None:
    """An ADD is never tried twice: it ends with code 11, and nothing of the plugin is left."""
    host.plugin("sleep 1000 & echo $! > $0.pid; sleep 1000")
    shim = host.start("ADD")
    with host.raw() as agent:
        agent.sendall(frames.execute(1, host.request()))
        until(lambda: host.pid() > 0)
    status, stdout, _ = shim.finish()
    body = json.loads(stdout)
    assert (status, body["code"], body["msg"]) == (1, 11, "the agent went away while it served ADD")
    until(lambda: dead(host.pid()))


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(frames.find(2, (), ()), id="FIND"),
        pytest.param(frames.pack(Type.EXEC, 2, b"fake", b"/", b""), id="EXEC"),
    ],
)
def test_one_plugin_at_a_time(host: Host, frame: bytes) -> None:
    """What would start beside a running plugin is a fault of the agent's, and ends both."""
    host.plugin("echo $$ > $0.pid; exec sleep 1000")
    shim = host.start("GC")
    agent = host.raw()
    agent.sendall(frames.execute(1, host.request()))
    until(lambda: host.pid() > 0)
    agent.sendall(frame)
    status, stdout, _ = shim.finish()
    assert (status, json.loads(stdout)["msg"]) == (1, "cannot take a frame from the agent: a plugin is still running")
    until(lambda: dead(host.pid()))


def test_an_answer_may_come_while_a_plugin_will_not_die(host: Host) -> None:
    """The agent is not held by it: the shim kills once more, prints and ends."""
    host.plugin("echo $$ > $0.pid; exec sleep 1000")
    shim = host.start("ADD")
    agent = host.raw()
    agent.sendall(frames.execute(1, host.request()))
    until(lambda: host.pid() > 0)
    agent.sendall(frames.kill(7) + frames.result(1, b"late", b""))  # a KILL of another tag is none
    assert shim.finish() == (1, b"late", b"")
    until(lambda: dead(host.pid()))


def test_a_runtime_that_ignores_its_children_is_no_obstacle(host: Host) -> None:
    """An ignored SIGCHLD is inherited, and would hide the end of every plugin."""
    host.plugin("echo '{}'")
    environment = {"CNI_COMMAND": "ADD", "METACNI_SOCKET": str(host.address)}
    command = ["/bin/sh", "-c", "trap '' CHLD; exec $0", str(host.binary)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        connection, _ = host.accept()
        assert connection.run(host.request(), timeout=LIMIT).status == 0
        connection.answer(0, b"")
        assert process.wait(LIMIT) == 0


AGENT = """
import os, socket, sys
from metacni.exec.connection import Connection
from metacni.exec.frames import Execution
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
connection = Connection(listener.accept()[0])
while connection.feed() is None:
    pass
connection.run(Execution(type="fake", path=(sys.argv[2],), environment={}, stdin=b""), timeout=60)
"""


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_an_agent_killed_in_the_middle(host_of: Callable[[int], Host], verb: str) -> None:
    """kill -9 of a real agent process: the plugin dies; every verb but ADD goes to the next agent, if one must."""
    host = host_of(1000)
    host.plugin("echo $$ > $0.pid; exec sleep 1000")
    host.alive(0)
    with subprocess.Popen([sys.executable, "-c", AGENT, str(host.address), str(host.plugins)]) as agent:
        until(host.address.exists)
        shim = host.start(verb)
        until(lambda: host.pid() > 0)
        agent.kill()
    host.address.unlink()
    if verb in ("DEL", "CHECK", "GC"):
        host.listen()
        connection, call = host.accept()
        assert call.environment["CNI_COMMAND"] == verb
        connection.answer(0, b"")
    status, stdout, _ = shim.finish()
    assert status == (1 if verb == "ADD" else 0), stdout
    until(lambda: dead(host.pid()))
