# SPDX-License-Identifier: Apache-2.0
"""One netlink socket: ask, change, list. Errors are the kernel's own, as OSError.

A handle is its socket: it can reach the namespace in which that was opened and no other, whichever thread holds it. It
still belongs to the thread that made it, or two would read each other's answers; in a foreign one it raises and sends
nothing. Must not know what any message means.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from metacni.netns import sandbox, wire

MAX_DUMPS: Final = 10
PATIENCE: Final = 20.0
"""Seconds to wait for the kernel: it answers in microseconds, but may stand behind others that hold its lock."""

CREATE: Final = 0x400
EXCLUSIVE: Final = 0x200

REQUEST: Final = 0x1
ACK: Final = 0x4
_INTERRUPTED: Final = 0x10
_DUMP: Final = 0x300
_ERROR: Final = 2
_DONE: Final = 3
_BUFFER: Final = 1 << 17
_ERRNO: Final = struct.Struct("=i")
_SOL_NETLINK: Final = 270
_STRICT: Final = 12  # NETLINK_GET_STRICT_CHK: a dump obeys the link and table that its request names


class Request(NamedTuple):
    """One message of several that are sent together."""

    kind: int
    body: bytes
    flags: int


class Netlink:
    """A handle. The thread that makes it uses it and closes it."""

    def __init__(self, sock: socket.socket) -> None:
        """Work over this socket, which is bound; it is closed with this object."""
        sock.settimeout(PATIENCE)
        with suppress(OSError):  # before Linux 4.20 dumps come whole; whoever dumps looks at what he gets, anyway
            sock.setsockopt(_SOL_NETLINK, _STRICT, 1)
        self._socket = sock
        self._owner = threading.get_ident()
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def change(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Have the kernel do something. Raises OSError, also when it does not answer."""
        for _ in self._answers(self._send(kind, body, REQUEST | ACK | flags)):
            pass

    def get(self, kind: int, body: bytes) -> bytes:
        """One thing. Raises OSError."""
        for message in self._answers(self._send(kind, body, REQUEST)):
            return message.body
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))

    def dump(self, kind: int, body: bytes) -> Sequence[bytes]:
        """A list of things.

        Raises:
            InterruptedError: it changed during each of several looks.
            OSError: the kernel refuses.
        """
        return repeated(lambda: list(self._answers(self._send(kind, body, REQUEST | _DUMP))))

    def transact(self, requests: Sequence[Request]) -> None:
        """Have the kernel do several things together or none of them, in one datagram.

        Raises:
            OSError: the first refusal.
        """
        for _ in self._answers(self._send_all(requests)):
            pass

    def namespace(self) -> tuple[int, int]:
        """Device and inode of the namespace that this handle reaches. Raises OSError."""
        return sandbox.identity_of(self._socket)

    def open_namespace(self) -> int:
        """A descriptor of that namespace, for the caller to close. Raises OSError."""
        return sandbox.open_of(self._socket)

    def beside(self, protocol: int) -> Self:
        """A handle for another protocol of netlink, to the namespace of this one. Raises OSError."""
        return type(self)(sandbox.socket_beside(self._socket, protocol))

    def _send(self, kind: int, body: bytes, flags: int) -> int:
        return self._send_all([Request(kind, body, flags)])

    def _send_all(self, requests: Sequence[Request]) -> int:
        if threading.get_ident() != self._owner:
            raise RuntimeError("a netlink handle is used outside the thread that made it: nothing was sent")
        self._sequence += 1
        messages = [
            wire.Message(kind=kind, flags=flags, sequence=self._sequence, body=body) for kind, body, flags in requests
        ]
        self._socket.sendto(b"".join(map(wire.pack, messages)), (0, 0))
        return self._sequence

    def _answers(self, sequence: int) -> Iterator[wire.Message]:
        """Each message up to and including the one that ends the answer, if it carries a flag of interest."""
        while True:
            for message in self._receive():
                if message.sequence != sequence:
                    continue  # left over from a request whose answer was not waited for
                if message.kind in (_ERROR, _DONE):
                    _raise_for(message)
                    if message.flags & _INTERRUPTED:
                        yield message
                    return
                yield message

    def _receive(self) -> Iterator[wire.Message]:
        try:
            data, _, flags, sender = self._socket.recvmsg(_BUFFER)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if sender[0] == 0:  # the kernel, and not a process of the pod that guessed our port
            yield from wire.unpack(data)


def repeated(dump: Callable[[], Sequence[wire.Message]]) -> Sequence[bytes]:
    """Dump until nothing changed while the kernel was at it: such a dump may miss things that were there all along."""
    for _ in range(MAX_DUMPS):
        found = dump()
        if not any(message.flags & _INTERRUPTED for message in found):
            return [message.body for message in found]
    raise InterruptedError(errno.EINTR, f"the kernel's tables changed during each of {MAX_DUMPS} looks")


def _raise_for(message: wire.Message) -> None:
    number = -_ERRNO.unpack_from(message.body)[0] if len(message.body) >= _ERRNO.size else 0
    if number > 0:
        raise OSError(number, os.strerror(number))


def own_socket() -> socket.socket:
    """A socket in the namespace of the calling thread, for the node's own links."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.bind((0, 0))
    return sock
