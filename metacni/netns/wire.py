# SPDX-License-Identifier: Apache-2.0
"""The bytes of netlink messages: headers and attributes, both ways. No socket, and no meaning of any number.

Own code, because it is what an attachment's time goes into: for one question about one link pyroute2 takes some 300 µs
(an event loop, and every attribute decoded), this 15, of which the kernel needs 7. Whatever arrives, nothing is read
beyond its end.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

NESTED: Final = 0x8000
_KIND: Final = 0x3FFF  # an attribute's type without the flags "nested" and "network byte order"
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")

Attributes = Mapping[int, bytes]
"""Values by type; of a type that stands there several times the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, its header apart."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def pack(message: Message) -> bytes:
    """The message for the kernel; the sender's port is the socket's."""
    header = _HEADER.pack(_HEADER.size + len(message.body), message.kind, message.flags, message.sequence, 0)
    return header + message.body


def unpack(data: bytes) -> Iterator[Message]:
    """The messages of one datagram.

    Raises:
        ValueError: a length that leads out of it.
    """
    at, end = 0, len(data)
    while at < end:
        if end - at < _HEADER.size:
            raise ValueError("a netlink header that is cut off")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= end - at:
            raise ValueError(f"a netlink message of {length} bytes in {end - at}")
        yield Message(kind=kind, flags=flags, sequence=sequence, body=data[at + _HEADER.size : at + length])
        at += (length + 3) & ~3


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute: bytes as they are, a number as 32 bits, a text with the NUL behind it."""
    if isinstance(value, int):
        value = _U32.pack(value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + _PADDING[length & 3]


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """The attributes from `start` to the end; an impossible length ends the reading."""
    return dict(listed(data, start))


def listed(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Likewise, in order, also those whose type stands there several times."""
    end = len(data)
    while end - start >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= end - start:
            break
        yield kind & _KIND, data[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3


def number(value: bytes | None, default: int = 0) -> int:
    """The 32 bits of an attribute, or the default when it is absent or short."""
    if value is None or len(value) < _U32.size:
        return default
    found: int = _U32.unpack_from(value)[0]
    return found


def text(value: bytes | None) -> str:
    """The text of an attribute up to its NUL."""
    return (value or b"").split(b"\0", 1)[0].decode(errors="replace")
