# SPDX-License-Identifier: Apache-2.0
"""A connection with a scripted shim: what is asked, what is made of each answer, and that nothing leaks.

The real shim is in tests/unit/shim; here stand the answers that it never gives and the moments it cannot be caught in.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from metacni.exec import frames
from metacni.exec.channel import ShimGone
from metacni.exec.connection import Connection
from metacni.exec.frames import Execution, Type

FAKE = PluginType("fake")
REQUEST = Execution(type=FAKE, path=("/bin",), environment={}, stdin=b"{}")
CALL = (b"\0", b"metacni", b"containerd", b"{}", b"CNI_COMMAND=ADD")


def done(tag: int = 1, value: int = 0, how: int = 0) -> bytes:
    """Write a DONE."""
    return frames.pack(Type.DONE, tag, bytes([how]), value.to_bytes(4, "little"), b"\0", b"out", b"err")


class Shim:
    """The other end, and the liveness pipe that a plugin would hold."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.live = -1

    def started(self, tag: int = 1) -> None:
        """Send a STARTED, and keep the pipe's write end."""
        read, self.live = os.pipe()
        socket.send_fds(self.sock, [frames.pack(Type.STARTED, tag)], [read])
        os.close(read)

    def end_plugin(self) -> None:
        """Let the last process of the plugin go."""
        if self.live >= 0:
            os.close(self.live)
            self.live = -1


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Shim]]:
    """Make a connection and its scripted shim."""
    ours, theirs = socket.socketpair()
    shim = Shim(theirs)
    with theirs, Connection(ours) as connection:
        yield connection, shim
    shim.end_plugin()


def later(seconds: float, action: Callable[[], None]) -> threading.Timer:
    """Do something while the test waits."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_a_call_is_complete_when_its_last_byte_is_there(ends: tuple[Connection, Shim]) -> None:
    """Until then feed gives None and never blocks."""
    connection, shim = ends
    frame = frames.pack(Type.CALL, 0, *CALL)
    assert connection.feed() is None
    for byte in frame[:-1]:
        shim.sock.sendall(bytes([byte]))
        assert connection.feed() is None
    shim.sock.sendall(frame[-1:])
    call = connection.feed()
    assert call is not None
    assert (call.program, call.netns) == ("metacni", None)


def test_the_netns_lives_as_long_as_the_connection(ends: tuple[Connection, Shim]) -> None:
    """Nobody else closes it, and nobody has to."""
    connection, shim = ends
    with Path("/proc/self/ns/net").open("rb") as netns:
        socket.send_fds(shim.sock, [frames.pack(Type.CALL, 0, b"\1", *CALL[1:])], [netns.fileno()])
    call = connection.feed()
    assert call is not None
    assert call.netns is not None
    os.fstat(call.netns)
    connection.close()
    connection.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(call.netns)


@pytest.mark.parametrize(
    ("data", "count", "code"),
    [
        pytest.param(frames.pack(Type.CALL, 0, b"\1", *CALL[1:]), 0, 999, id="netns promised"),
        pytest.param(frames.pack(Type.CALL, 0, *CALL), 1, 999, id="netns unannounced"),
        pytest.param(frames.pack(Type.CALL, 0, b"\1", *CALL[1:]), 2, 999, id="two descriptors"),
        pytest.param(frames.pack(Type.CALL, 0, *CALL) + b"x", 0, 999, id="more after it"),
        pytest.param(frames.pack(Type.DONE, 0), 0, 999, id="another frame"),
        pytest.param(frames.pack(Type.CALL, 0), 0, 999, id="empty"),
        pytest.param(b"\x43\x4d\x02\x01" + bytes(8), 0, 11, id="another version"),
        pytest.param(b"\x43\x4d\x01\x01" + bytes(4) + b"\xff\xff\xff\xff", 0, 999, id="too long"),
        pytest.param(b"SSH-2.0-OpenSSH", 0, 999, id="no frame"),
    ],
)
def test_a_bad_call_is_answered_and_leaks_nothing(
    ends: tuple[Connection, Shim], data: bytes, count: int, code: int
) -> None:
    """The error can go back over the same connection."""
    connection, shim = ends
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Path("/dev/null").open("rb") as file:
        socket.send_fds(shim.sock, [data], [file.fileno()] * count)
    with pytest.raises(CniError) as caught:
        connection.feed()
    assert caught.value.code == code
    connection.answer(1, caught.value.to_json("1.0.0"))
    assert shim.sock.recv(1000)[:4] == b"\x43\x4d\x01\x08"
    connection.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


def test_a_cut_call_is_a_vanished_shim(ends: tuple[Connection, Shim]) -> None:
    """Nobody is there to hear an error."""
    connection, shim = ends
    shim.sock.sendall(frames.pack(Type.CALL, 0, *CALL)[:-1])
    shim.sock.shutdown(socket.SHUT_WR)
    assert connection.feed() is None
    with pytest.raises(ShimGone):
        connection.feed()


def test_find_asks_in_portions(ends: tuple[Connection, Shim]) -> None:
    """Of 64 types each, the limit of a FIND."""
    connection, shim = ends
    types = [PluginType(f"p{i}") for i in range(65)]
    shim.sock.sendall(frames.pack(Type.FOUND, 1, b"\1" * 63 + b"\0") + frames.pack(Type.FOUND, 2, b"\0"))
    assert connection.find(types, ["/bin"]) == {"p63", "p64"}
    assert connection.find([], ["/bin"]) == frozenset()
    asked = shim.sock.recv(100_000)
    assert asked == frames.find(1, ["/bin"], types[:64]) + frames.find(2, ["/bin"], types[64:])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(frames.pack(Type.FOUND, 2, b"\1"), id="another tag"),
        pytest.param(frames.pack(Type.FOUND, 1, b"\1\1"), id="another count"),
        pytest.param(done(), id="another frame"),
    ],
)
def test_a_wrong_answer_to_find_is_an_error(ends: tuple[Connection, Shim], answer: bytes) -> None:
    """A plan must not be built on it."""
    connection, shim = ends
    shim.sock.sendall(answer)
    with pytest.raises(CniError) as caught:
        connection.find([FAKE], ["/bin"])
    assert caught.value.code == 999


def test_success_does_not_wait_for_what_the_plugin_left_running(ends: tuple[Connection, Shim]) -> None:
    """A daemon started by a plugin may stay; whoever undoes later can still settle."""
    connection, shim = ends
    shim.started()
    shim.sock.sendall(done())
    output = connection.run(REQUEST, timeout=5)
    assert (output.status, output.stdout, output.stderr) == (0, b"out", b"err")
    assert not connection.settle(0.01)
    shim.end_plugin()
    assert connection.settle(0.01)


@pytest.mark.parametrize(("how", "value"), [(0, 1), (1, 9), (3, 8)])
def test_a_bad_end_waits_for_the_last_process(ends: tuple[Connection, Shim], how: int, value: int) -> None:
    """An exit status, a signal, a failed start alike."""
    connection, shim = ends
    shim.started()
    shim.sock.sendall(done(how=how, value=value))
    began = time.monotonic()
    timer = later(0.1, shim.end_plugin)
    try:
        assert connection.run(REQUEST, timeout=5).status != 0
    except CniError as error:
        assert how == 3  # the start that failed
        assert error.code == 5  # noqa: PT017
    assert time.monotonic() - began >= 0.1
    timer.join()


def test_at_the_deadline_the_plugin_is_killed(ends: tuple[Connection, Shim]) -> None:
    """KILL carries the EXEC's tag; the error names plugin and seconds."""
    connection, shim = ends
    shim.started()
    asked = frames.execute(1, REQUEST)

    def obey() -> None:
        assert shim.sock.recv(len(asked), socket.MSG_WAITALL) == asked
        assert shim.sock.recv(12, socket.MSG_WAITALL) == frames.kill(1)
        shim.end_plugin()
        shim.sock.sendall(done(how=1, value=9))

    obeying = threading.Thread(target=obey)
    obeying.start()
    with pytest.raises(CniError) as caught:
        connection.run(REQUEST, timeout=0.05)
    obeying.join()
    assert (caught.value.code, caught.value.msg) == (11, "plugin 'fake' did not finish within 0.05 s")


def test_a_plugin_that_ends_at_the_deadline_has_ended(ends: tuple[Connection, Shim]) -> None:
    """Its result counts, not the KILL that came too late."""
    connection, shim = ends
    shim.started()
    asked = len(frames.execute(1, REQUEST))

    def miss() -> None:
        shim.sock.recv(asked + 12, socket.MSG_WAITALL)
        shim.sock.sendall(done())

    missing = threading.Thread(target=miss)
    missing.start()
    assert connection.run(REQUEST, timeout=0.05).stdout == b"out"
    missing.join()


def test_a_plugin_that_cannot_be_killed_blocks_the_next_but_not_the_answer(ends: tuple[Connection, Shim]) -> None:
    """Stuck in the kernel: no second plugin beside it, until its DONE comes after all."""
    connection, shim = ends
    shim.started()
    timer = later(2.2, shim.end_plugin)  # after the two seconds for its DONE, before the five for its processes
    with pytest.raises(CniError, match=r"did not finish within 0\.05 s"):
        connection.run(REQUEST, timeout=0.05)
    timer.join()
    for attempt in (lambda: connection.run(REQUEST, timeout=5), lambda: connection.find([FAKE], ["/bin"])):
        with pytest.raises(CniError, match="cannot go on: plugin 'fake' was killed but does not end"):
            attempt()
    shim.sock.sendall(done(how=1, value=9) + frames.pack(Type.FOUND, 2, b"\1"))
    assert connection.find([FAKE], ["/bin"]) == frozenset()
    connection.answer(1, b"{}")


def test_a_vanished_shim_is_told_when_its_plugin_is_gone(ends: tuple[Connection, Shim]) -> None:
    """PDEATHSIG does not reach grandchildren, so the undo waits for them."""
    connection, shim = ends
    shim.started()
    shim.sock.shutdown(socket.SHUT_RDWR)
    timer = later(0.1, shim.end_plugin)
    began = time.monotonic()
    with pytest.raises(ShimGone):
        connection.run(REQUEST, timeout=5)
    assert time.monotonic() - began < 5
    timer.join()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(done(tag=2), id="another tag"),
        pytest.param(frames.pack(Type.STARTED, 1), id="no liveness pipe"),
        pytest.param(frames.pack(Type.FOUND, 1, b"\1"), id="another frame"),
        pytest.param(frames.pack(Type.DONE, 1, b"\0"), id="a damaged DONE"),
    ],
)
def test_a_wrong_answer_to_an_exec_is_an_error(ends: tuple[Connection, Shim], answer: bytes) -> None:
    """The protocol is broken, and no output is made up."""
    connection, shim = ends
    shim.sock.sendall(answer)
    with pytest.raises(CniError) as caught:
        connection.run(REQUEST, timeout=5)
    assert caught.value.code == 999


def test_a_second_started_is_an_error(ends: tuple[Connection, Shim]) -> None:
    """One plugin, one pipe."""
    connection, shim = ends
    shim.started()
    shim.end_plugin()
    shim.started()
    with pytest.raises(CniError, match="STARTED"):
        connection.run(REQUEST, timeout=5)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_no_plugin_can_be_given_is_an_error_of_the_configuration(ends: tuple[Connection, Shim], text: str) -> None:
    """It comes from an annotation, and nothing is sent."""
    connection, shim = ends
    request = Execution(type=FAKE, path=(), environment={"CNI_ARGS": text}, stdin=b"")
    with pytest.raises(CniError) as caught:
        connection.run(request, timeout=5)
    assert caught.value.code == 7
    shim.sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        shim.sock.recv(1)


def test_an_answer_too_large_for_a_frame_is_an_error(ends: tuple[Connection, Shim]) -> None:
    """Before anything is sent, so that another answer can follow."""
    connection, _ = ends
    with pytest.raises(CniError) as caught:
        connection.answer(0, bytes(frames.MAX_FRAME))
    assert caught.value.code == 999


def test_gone_only_looks(ends: tuple[Connection, Shim]) -> None:
    """What has arrived stays for the worker; the selector can watch the connection itself."""
    connection, shim = ends
    assert not connection.gone()
    shim.sock.sendall(frames.pack(Type.CALL, 0, *CALL))
    assert not connection.gone()
    assert connection.feed() is not None
    shim.sock.close()
    assert connection.gone()
    assert connection.fileno() >= 0
