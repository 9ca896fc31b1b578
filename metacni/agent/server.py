# SPDX-License-Identifier: Apache-2.0
"""The socket: one front thread that accepts, reads each call without ever blocking, and hands it to the dispatcher.

It decides nothing about networks. It keeps `alive` fresh, so that a shim can tell an agent that restarts from one
that is gone (decision 1), and drains on SIGTERM: no new call, those that run may end.
"""

import contextlib
import fcntl
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from metacni.agent.dispatch import Dispatcher
from metacni.cni.errors import CniError
from metacni.exec.channel import ShimGone
from metacni.exec.connection import Connection
from metacni.exec.peer import require_root
from metacni.exec.pending import ALIVE

log = logging.getLogger(__name__)

BACKLOG = 1024
TICK_SECONDS = 5.0
READ_SECONDS = 10.0
"""A shim sends its call in one go; one that has not done so by then is not one of ours."""
PAUSE_SECONDS = 0.1
MAX_PATH = 107  # bytes of sun_path


class AddressTaken(Exception):  # noqa: N818  # what is so, not whose fault
    """Another agent serves this socket, or its path cannot be used; the text is for the person who started us."""


class Server:
    """Serves one socket until it is told to stop."""

    def __init__(
        self, path: Path, dispatcher: Dispatcher, admit: Callable[[socket.socket], object] = require_root
    ) -> None:
        """Say where to serve, and by whom.

        Args:
            path: the socket.
            dispatcher: who serves the calls.
            admit: raises PermissionError for a peer that may not call.
        """
        self._path = path
        self._dispatcher = dispatcher
        self._admit = admit
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[Connection, float] = {}
        self._running = 0
        self._idle = threading.Condition()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stopping = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._lock = -1

    def listen(self) -> None:
        """Take the socket; only root may open it.

        Raises:
            AddressTaken: another agent holds it, or the path is too long or cannot be made.
        """
        if len(os.fsencode(self._path)) > MAX_PATH:
            raise AddressTaken(
                f"cannot listen on {str(self._path)!r}: a Unix socket's path has at most {MAX_PATH} bytes"
            )
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(f"{self._path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._path.exists() and not self._path.is_socket():
                raise AddressTaken(f"cannot listen on {str(self._path)!r}: there is a file that is no socket")
            self._path.unlink(missing_ok=True)
            self._listener.bind(os.fspath(self._path))
            self._path.chmod(0o600)  # before listen(): until then nobody can connect
        except BlockingIOError:
            raise AddressTaken(f"cannot listen on {str(self._path)!r}: another agent serves it") from None
        except OSError as cause:
            raise AddressTaken(f"cannot listen on {str(self._path)!r}: {cause.strerror}") from cause
        self._listener.setblocking(False)  # noqa: FBT003  socket's own signature
        self._listener.listen(BACKLOG)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._touch()

    def stop(self) -> None:
        """Make serve() return; safe in a signal handler."""
        self._stopping.set()
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def serve(self) -> None:
        """Accept and read calls until stop()."""
        touched = time.monotonic()
        while not self._stopping.is_set():
            for key, _ in self._selector.select(TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, Connection):
                    self._read(key.data)
            self._drop_silent()
            if time.monotonic() - touched >= TICK_SECONDS:
                self._touch()
                touched = time.monotonic()

    def drain(self, seconds: float) -> bool:
        """Take no more calls and wait for those that run; whether all of them ended in time."""
        self._selector.unregister(self._listener)
        self._listener.close()  # a shim that calls now waits for the next agent
        for connection in list(self._waiting):
            self._forget(connection)
            connection.close()
        self._dispatcher.close()
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, seconds)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as cause:  # a peer that left again, or no descriptor left: the next one may do better
            log.warning("cannot accept a call", extra={"cause": str(cause)})
            self._stopping.wait(PAUSE_SECONDS)  # the call still waits to be accepted: do not spin on it
            return
        try:
            self._admit(sock)
        except PermissionError as cause:
            log.warning("a call was refused", extra={"cause": str(cause)})
            sock.close()
            return
        connection = Connection(sock)
        self._waiting[connection] = time.monotonic() + READ_SECONDS
        self._selector.register(connection, selectors.EVENT_READ, connection)

    def _read(self, connection: Connection) -> None:
        try:
            call = connection.feed()
        except ShimGone:
            self._forget(connection)
            connection.close()
            return
        except CniError as fault:
            self._forget(connection)
            log.warning("a call could not be read", extra={"cause": fault.msg})
            with contextlib.suppress(ShimGone):
                connection.answer(1, fault.to_json(""))
            connection.close()
            return
        if call is not None:
            self._forget(connection)
            with self._idle:
                self._running += 1
            self._dispatcher.take(connection, call, self._finished)

    def _finished(self) -> None:
        with self._idle:
            self._running -= 1
            self._idle.notify_all()

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for connection in [one for one, until in self._waiting.items() if until < now]:
            self._forget(connection)
            connection.close()

    def _forget(self, connection: Connection) -> None:
        self._selector.unregister(connection)
        del self._waiting[connection]

    def _touch(self) -> None:
        alive = self._path.parent / ALIVE
        try:
            alive.touch(mode=0o600)
        except OSError as cause:
            log.warning("cannot say that the agent lives", extra={"file": str(alive), "cause": str(cause)})
