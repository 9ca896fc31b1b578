# SPDX-License-Identifier: Apache-2.0
"""A kernel in memory: a socket that keeps what is sent and answers from a list."""

import struct
from collections.abc import Sequence
from typing import Any

from metacni.netns import wire
from metacni.netns.netlink import Netlink
from metacni.netns.wire import Message

ERROR, DONE = 2, 3


class Kernel:
    """The little of socket.socket that a handle uses."""

    def __init__(self, *answers: Sequence[tuple[int, int, bytes]], sender: int = 0) -> None:
        """Each request gets the next answer: messages of kind, flags and body. A request beyond them gets an ACK."""
        self.sent: list[Message] = []
        self._answers = list(answers)
        self._sender = sender
        self._waiting: list[bytes] = []

    def settimeout(self, seconds: float) -> None:
        """A kernel in memory never lets anybody wait."""

    def setsockopt(self, *_: object) -> None:
        """Old: it knows no options."""
        raise OSError(92, "Protocol not available")

    def sendto(self, data: bytes, _: object) -> int:
        """Take a request, or several that are one; put the answer where recvmsg finds it."""
        request, *more = wire.unpack(data)
        self.sent += [request, *more]
        answer = self._answers.pop(0) if self._answers else [ack(0)]
        texts = (wire.pack(Message(kind=k, flags=f, sequence=request.sequence, body=b)) for k, f, b in answer)
        self._waiting.append(b"".join(text + bytes(-len(text) % 4) for text in texts))
        return len(data)

    def recvmsg(self, _: int) -> tuple[bytes, list[Any], int, tuple[int, int]]:
        """Give the answer."""
        if not self._waiting:
            raise TimeoutError("timed out")
        return self._waiting.pop(0), [], 0, (self._sender, 0)

    def close(self) -> None:
        """Nothing to give back."""


def ack(number: int) -> tuple[int, int, bytes]:
    """The kernel's yes (0) or no (an errno)."""
    return ERROR, 0, struct.pack("=i", -number) + bytes(16)


def handle(kernel: Kernel) -> Netlink:
    """A handle to it."""
    sock: Any = kernel
    return Netlink(sock)
