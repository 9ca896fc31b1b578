# SPDX-License-Identifier: Apache-2.0
"""Frames over a socket: bytes, descriptors and time limits, with no idea of what a frame means.

The socket never blocks; waiting is poll's, always with a limit. A descriptor that arrives is the channel's until
somebody takes it, so that none leaks when a frame turns out to be bad.
"""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from metacni.cni.errors import CniError, Code
from metacni.exec import frames

_READ_SIZE = 1 << 18
_MAX_DESCRIPTORS = 4  # more than any frame carries; the kernel closes what does not fit into one message
_SEND_LIMIT = 10.0  # seconds; the shim always reads, so one that takes nothing for so long is stopped or worse


class ShimGone(Exception):  # noqa: N818  # an event in the life of a call, not a fault of ours
    """The shim, or the runtime behind it, has vanished: nobody waits for an answer any more."""


@contextmanager
def translated(code: Code = Code.INTERNAL) -> Iterator[None]:
    """Let no FrameError out: a frame of another version is worth a retry, an upgrade is probably under way."""
    try:
        yield
    except frames.VersionError as error:
        raise CniError(Code.TRY_AGAIN, str(error), "the shim and the agent are of different releases") from error
    except frames.FrameError as error:
        raise CniError(code, str(error)) from error


class Channel:
    """One socket, and what has arrived on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._sock = sock
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """Give the socket's descriptor, for a selector."""
        return self._sock.fileno()

    def idle(self) -> bool:
        """Say whether all that arrived has been taken."""
        return not self._buffer and not self._descriptors

    def descriptor(self) -> int | None:
        """Hand over the oldest descriptor that arrived."""
        return self._descriptors.popleft() if self._descriptors else None

    def pull(self) -> None:
        """Read once what is there, without blocking."""
        space = socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4)
        flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        try:
            data, control, seen, _ = self._sock.recvmsg(_READ_SIZE, space, flags)
        except BlockingIOError:
            return
        except OSError as error:
            raise ShimGone(str(error)) from error
        for level, kind, body in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors.extend(memoryview(body[: len(body) // 4 * 4]).cast("i"))
        if not data:
            raise ShimGone("the shim hung up")
        if seen & socket.MSG_CTRUNC or len(self._descriptors) > _MAX_DESCRIPTORS:
            raise CniError(Code.INTERNAL, "cannot read a frame: it carries too many descriptors")
        self._buffer += data

    def take(self) -> tuple[frames.Header, bytes] | None:
        """Cut one frame off what was read; None while it is incomplete."""
        if len(self._buffer) < frames.HEADER_SIZE:
            return None
        with translated():
            head = frames.header(bytes(self._buffer[: frames.HEADER_SIZE]))
        end = frames.HEADER_SIZE + head.length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[frames.HEADER_SIZE : end])
        del self._buffer[:end]
        return head, payload

    def receive(self, deadline: float) -> tuple[frames.Header, bytes] | None:
        """Wait for one whole frame; None when the time is up."""
        while (frame := self.take()) is None:
            if not self._wait(select.POLLIN, deadline):
                return None
            self.pull()
        return frame

    def send(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        deadline = time.monotonic() + _SEND_LIMIT
        try:
            while rest:
                try:
                    rest = rest[self._sock.send(rest) :]
                except BlockingIOError:
                    if not self._wait(select.POLLOUT, deadline):
                        raise ShimGone(f"the shim read nothing for {_SEND_LIMIT:g} s") from None
        except OSError as error:
            raise ShimGone(str(error)) from error

    def gone(self) -> bool:
        """Say whether the other end hung up, reading nothing; safe beside a thread that uses the channel."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Hang up and close what nobody took."""
        self._sock.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _wait(self, event: int, deadline: float) -> bool:
        watch = select.poll()
        watch.register(self._sock, event)
        return bool(watch.poll(max(0.0, deadline - time.monotonic()) * 1000))
