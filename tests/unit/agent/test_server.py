# SPDX-License-Identifier: Apache-2.0
"""The socket: who may call, calls that come in pieces or never, and the end."""

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metacni.agent.dispatch import Dispatcher
from metacni.agent.server import AddressTaken, Server
from metacni.exec import frames
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from metacni.exec.peer import require_root
from tests.unit.agent import fakes
from tests.unit.agent.fakes import Bench, node_config
from tests.unit.agent.shim_end import ShimEnd

STDIN = json.dumps(node_config() | {"runtimeConfig": {fakes.ANNOTATIONS: {}}}).encode()


class Running:
    """A server in a thread; as its tests need no root, anybody may call."""

    def __init__(self, bench: Bench, admit: Callable[[socket.socket], object] = lambda _: None) -> None:
        self.bench = bench
        self.path = bench.folder / "run" / "cni.sock"
        self.server = Server(self.path, Dispatcher(bench.node), admit)
        self.server.listen()
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()
        self._sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A peer."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.settimeout(10)
        sock.connect(str(self.path))
        return sock

    def shim(self, verb: str, **more: Any) -> ShimEnd:
        """A shim that has sent its call."""
        shim = ShimEnd(self.connect(), self.bench.runner)
        shim.call(verb, STDIN, **more)
        return shim

    def stop(self) -> None:
        """End serve()."""
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def close(self) -> None:
        """Stop and drain, if the test has not."""
        if self.thread.is_alive():
            self.stop()
            self.server.drain(10)
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def running(bench: Bench) -> Iterator[Running]:
    """A server that serves."""
    made = Running(bench)
    yield made
    made.close()


def refused(server: Server) -> str:
    """Why it cannot listen."""
    with pytest.raises(AddressTaken) as caught:
        server.listen()
    server._listener.close()
    return str(caught.value)


def test_only_the_owner_may_open_the_socket(running: Running) -> None:
    """Folder 0700, socket 0600, and `alive` beside it says that an agent lives."""
    assert running.path.parent.stat().st_mode & 0o777 == 0o700
    assert running.path.stat().st_mode & 0o777 == 0o600
    assert time.time() - (running.path.parent / "alive").stat().st_mtime < 10


def test_the_kernels_word_on_the_peer_is_asked_as_well(bench: Bench) -> None:
    """Unless a test says otherwise."""
    server = Server(bench.folder / "s", Dispatcher(bench.node))
    server._listener.close()
    assert server._admit is require_root


def test_a_peer_that_may_not_call_is_hung_up_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Before a byte of it is read; the next one is served."""
    turns = iter([PermissionError("cannot serve process 7: it runs as UID 1000, not 0"), None])

    def admit(_sock: socket.socket) -> None:
        if (fault := next(turns)) is not None:
            raise fault

    running = Running(bench, admit)
    assert running.connect().recv(1) == b""
    assert running.shim("STATUS").result() == (0, None)
    assert "UID 1000" in str([vars(line) for line in caplog.records])
    running.close()


def test_calls_are_served_side_by_side(running: Running) -> None:
    """Many at once, each gets its own answer, and no namespace stays open."""
    shims = [
        running.shim("ADD", netns=running.bench.netns, CNI_CONTAINERID=f"c{number}", CNI_IFNAME=f"eth{number}")
        for number in range(8)
    ]
    answers = [shim.result() for shim in shims]
    assert [printed["interfaces"][0]["name"] for _, printed in answers] == [f"eth{number}" for number in range(8)]
    assert all(shim.hung_up() for shim in shims)
    running.stop()
    assert running.server.drain(10)
    open_files = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert open_files.count(os.path.realpath(running.bench.path)) == 1  # the test's own


def test_a_call_may_come_in_pieces(running: Running) -> None:
    """The front thread waits for none of them, so another call overtakes."""
    slow = running.connect()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        ShimEnd(ours).call("STATUS", STDIN)
        frame = theirs.recv(1 << 16)
    for piece in (frame[:5], frame[5:20], frame[20:-1]):
        slow.sendall(piece)
        assert running.shim("STATUS").result() == (0, None)
    slow.sendall(frame[-1:])
    assert ShimEnd(slow, running.bench.runner).result() == (0, None)


def header(**changes: int) -> bytes:
    """The header of a CALL, with something wrong."""
    good = {"magic": frames.MAGIC, "version": frames.VERSION, "type": frames.Type.CALL, "tag": 0, "length": 0}
    return struct.pack("<HBBII", *(good | changes).values())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(header(magic=1), 999, id="not-a-frame"),
        pytest.param(header(version=9), 11, id="another-version"),
        pytest.param(header(type=99), 999, id="unknown-type"),
        pytest.param(header(type=frames.Type.DONE), 999, id="no-call"),
        pytest.param(header(length=frames.MAX_FRAME), 999, id="too-long"),
        pytest.param(header(length=4) + b"\xff\xff\xff\xff", 999, id="field-beyond-its-end"),
        pytest.param(header(), 999, id="no-fields"),
    ],
)
def test_a_frame_that_is_none_gets_an_error_and_harms_nobody(running: Running, data: bytes, code: int) -> None:
    """Another version may be an upgrade under way: code 11; the server goes on."""
    shim = ShimEnd(running.connect())
    shim.sock.sendall(data)
    status, printed = shim.result()
    assert (status, printed["code"]) == (1, code)
    assert shim.hung_up()
    assert running.shim("STATUS").result() == (0, None)


@pytest.mark.parametrize("sent", [b"", header(length=100)], ids=["at-once", "in-the-middle"])
def test_a_peer_that_hangs_up_is_forgotten(running: Running, sent: bytes) -> None:
    """Nothing of it is left."""
    peer = running.connect()
    peer.sendall(sent)
    peer.close()
    assert running.shim("STATUS").result() == (0, None)
    assert running.server._waiting == {}


def test_a_peer_that_stays_silent_is_hung_up_on(bench: Bench) -> None:
    """A shim sends its call in one go; ten seconds are plenty."""
    server = Server(bench.folder / "cni.sock", Dispatcher(bench.node), lambda _: None)
    server.listen()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(bench.folder / "cni.sock"))
        server._accept()
        server._drop_silent()
        ((connection, until),) = server._waiting.items()
        assert until - time.monotonic() == pytest.approx(10, abs=1)
        server._waiting[connection] = time.monotonic() - 1
        server._drop_silent()
        assert server._waiting == {}
        assert peer.recv(1) == b""
    server.drain(1)


def test_alive_is_kept_fresh_and_a_failure_to_do_so_is_no_end(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Its time stamp is what counts (decision 1)."""
    alive = running.path.parent / "alive"
    os.utime(alive, (0, 0))
    running.server._touch()
    assert time.time() - alive.stat().st_mtime < 10
    alive.unlink()
    alive.symlink_to("/proc/none/alive")
    running.server._touch()
    assert "cannot say that the agent lives" in caplog.text


def test_a_second_agent_is_told_so(running: Running) -> None:
    """It must not take the first one's socket away."""
    second = Server(running.path, Dispatcher(running.bench.node))
    assert refused(second) == f"cannot listen on '{running.path}': another agent serves it"
    assert running.shim("STATUS").result() == (0, None)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param(Path("/" + "x" * 107), "a Unix socket's path has at most 107 bytes", id="too-long"),
        pytest.param(Path("/proc/none/cni.sock"), "cannot listen on '/proc/none/cni.sock': ", id="no-folder"),
    ],
)
def test_a_path_that_cannot_be_used_is_an_error_in_words(bench: Bench, path: Path, told: str) -> None:
    """For the person who chose it."""
    assert told in refused(Server(path, Dispatcher(bench.node)))


def test_a_dead_agents_socket_is_replaced(bench: Bench) -> None:
    """The file stays behind after kill -9."""
    (bench.folder / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(bench.folder / "run" / "cni.sock"))
    running = Running(bench)
    assert running.shim("STATUS").result() == (0, None)
    running.close()


def blocked(running: Running) -> tuple[ShimEnd, Callable[[], None]]:
    """An ADD that runs until what is returned is called, once it certainly runs."""
    entered, release = threading.Event(), threading.Event()

    def wait(execution: Execution) -> Output:
        entered.set()
        release.wait(10)
        return fakes.attached(execution)

    running.bench.runner.script("bridge", "ADD", wait)
    shim = running.shim("ADD", netns=running.bench.netns)
    thread = threading.Thread(target=shim.result)
    thread.start()
    assert entered.wait(10)

    def end() -> None:
        release.set()
        thread.join(10)

    return shim, end


def test_a_drain_lets_what_runs_end_and_takes_nothing_new(running: Running) -> None:
    """Half-sent calls are hung up on, new callers are not let in: they wait for the next agent."""
    _, end = blocked(running)
    half = running.connect()
    half.sendall(b"\x43")
    time.sleep(0.05)
    running.stop()
    timer = threading.Timer(0.1, end)
    timer.start()
    assert running.server.drain(10)
    timer.join(10)
    assert running.bench.files()[0] == "answer"
    assert half.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_a_drain_does_not_wait_for_ever(running: Running) -> None:
    """The journal holds what is cut off."""
    _, end = blocked(running)
    running.stop()
    assert not running.server.drain(0.05)
    assert running.bench.files() == ["plan", "sandbox"]
    end()


def test_stop_is_heard_while_nothing_happens(running: Running) -> None:
    """And twice is fine: a signal may come again."""
    begin = time.monotonic()
    running.server.stop()
    running.stop()
    assert time.monotonic() - begin < 2
    assert running.server.drain(1)
