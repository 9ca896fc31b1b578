# SPDX-License-Identifier: Apache-2.0
"""The shim's frames as values: bytes in, bytes out, and nothing else.

The format is stated in metacni/shim/frames.md; its constants stand there, in the C header and here, and a test compares
the three. This module opens no socket and owns no descriptor: the one that a frame carries travels beside it.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from metacni.cni.names import PluginType

MAGIC = 0x4D43
VERSION = 1
HEADER_SIZE = 12
MAX_FRAME = 8388608  # header included
MAX_STDIN = 4194304
MAX_STDOUT = 1048576
MAX_STDERR = 65536
MAX_TYPES = 64
MAX_ENV = 256
MAX_CGROUP = 4096
HAS_NETNS = 1  # CALL's flag: a descriptor of the pod's network namespace travels with this frame
HAS_CGROUP = 2  # CALL's flag: the field cgroup is there
TRUNCATED = 1  # DONE's flag: the plugin printed more than MAX_STDOUT and was killed

_HEADER = struct.Struct("<HBBII")
_LENGTH = struct.Struct("<I")
_MAX_FIELDS = 5 + MAX_ENV  # CALL has the most: flags, program, parent, cgroup, stdin and the environment


class FrameError(ValueError):
    """These bytes are not a frame of ours, or would not become one."""


class VersionError(FrameError):
    """The other end speaks another version of the format."""


class Type(IntEnum):
    """What a frame says; the first four go to the agent, the others to the shim."""

    CALL = 1
    FOUND = 2
    STARTED = 3
    DONE = 4
    FIND = 5
    EXEC = 6
    KILL = 7
    RESULT = 8


class How(IntEnum):
    """How a plugin ended; the value beside it is the exit status, the signal, 0, or the errno."""

    EXITED = 0
    SIGNALLED = 1
    ABSENT = 2
    FAILED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first twelve bytes; `length` counts the payload after them."""

    type: Type
    tag: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the runtime asked of the shim. `netns` is borrowed: it is closed with the connection.

    `cgroup` is what /proc says of the shim's cgroups, which are the runtime's; "" when it does not.
    """

    program: str
    parent: str
    environment: Mapping[str, str]
    stdin: bytes
    netns: int | None = None
    cgroup: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a plugin: a bare type, where to look for it, its `CNI_*` variables and its stdin."""

    type: PluginType
    path: tuple[str, ...]
    environment: Mapping[str, str]
    stdin: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a plugin ended and what it had printed by then."""

    how: How
    value: int
    truncated: bool
    stdout: bytes
    stderr: bytes


def header(raw: bytes) -> Header:
    """Read the first HEADER_SIZE bytes of a frame."""
    if len(raw) != HEADER_SIZE:
        raise FrameError(f"cannot read a frame of {len(raw)} bytes: its header has {HEADER_SIZE}")
    magic, version, kind, tag, length = _HEADER.unpack(raw)
    if magic != MAGIC:
        raise FrameError(f"cannot read a frame: it starts with {magic:#06x}, not {MAGIC:#06x}")
    if version != VERSION:
        raise VersionError(f"cannot read a frame of version {version}: this agent speaks version {VERSION}")
    if length > MAX_FRAME - HEADER_SIZE:
        raise FrameError(f"cannot read a frame of {length} bytes: the limit is {MAX_FRAME}")
    try:
        return Header(type=Type(kind), tag=tag, length=length)
    except ValueError:
        raise FrameError(f"cannot read a frame: its type {kind} is unknown") from None


def pack(kind: Type, tag: int, *fields: bytes) -> bytes:
    """Write one frame."""
    payload = b"".join(part for field in fields for part in (_LENGTH.pack(len(field)), field))
    if len(payload) > MAX_FRAME - HEADER_SIZE:
        raise FrameError(f"cannot send a frame of {len(payload)} bytes: the limit is {MAX_FRAME}")
    return _HEADER.pack(MAGIC, VERSION, kind, tag, len(payload)) + payload


def split(payload: bytes) -> list[bytes]:
    """Cut a payload into its fields."""
    fields: list[bytes] = []
    at = 0
    while at < len(payload):
        start = at + _LENGTH.size
        if start > len(payload) or len(fields) == _MAX_FIELDS:
            raise FrameError("cannot read a frame: its fields do not fill it exactly")
        at = start + int.from_bytes(payload[at:start], "little")
        if at > len(payload):
            raise FrameError("cannot read a frame: a field goes beyond its end")
        fields.append(payload[start:at])
    return fields


def call(payload: bytes, netns: int | None) -> Call:
    """Read a CALL; `netns` is the descriptor that came with it."""
    flags, program, parent, *rest = _at_least(split(payload), 4, "CALL")
    has_cgroup = len(flags) == 1 and bool(flags[0] & HAS_CGROUP)
    cgroup = rest.pop(0) if has_cgroup else b""
    stdin, *pairs = _at_least(rest, 1, "CALL")
    if len(flags) != 1 or len(cgroup) > MAX_CGROUP or len(stdin) > MAX_STDIN or len(pairs) > MAX_ENV:
        raise FrameError("cannot read a CALL frame: a field has the wrong size")
    if bool(flags[0] & HAS_NETNS) != (netns is not None):
        raise FrameError("cannot read a CALL frame: its netns descriptor and its flag disagree")
    if b"\0" in cgroup:
        raise FrameError("cannot read a CALL frame: its cgroup holds a NUL")
    return Call(
        program=program.decode(errors="replace"),
        parent=parent.decode(errors="replace"),  # the kernel cuts it after 15 bytes, so perhaps inside a character
        environment=dict(_pair(pair) for pair in pairs),
        stdin=stdin,
        netns=netns,
        cgroup=os.fsdecode(cgroup),  # names in a file system: any bytes, that come back as they were
    )


def record(data: bytes) -> Call:
    """Read the CALL frame that a DEL left on disk; no descriptor is with it."""
    head = header(data[:HEADER_SIZE])
    payload = data[HEADER_SIZE:]
    if head.type != Type.CALL or head.length != len(payload):
        raise FrameError("cannot read a recorded DEL: it is not one whole CALL frame")
    return call(payload, None)


def found(payload: bytes, asked: int) -> tuple[bool, ...]:
    """Read a FOUND: for each type asked, in order, whether it is there."""
    fields = split(payload)
    if len(fields) != 1 or len(fields[0]) != asked or not set(fields[0]) <= {0, 1}:
        raise FrameError(f"cannot read a FOUND frame: it does not answer {asked} types")
    return tuple(bool(byte) for byte in fields[0])


def done(payload: bytes) -> Done:
    """Read a DONE."""
    fields = split(payload)
    if [len(field) for field in fields[:3]] != [1, 4, 1] or len(fields) != 5:  # noqa: PLR2004  # how, value, flags, two outputs
        raise FrameError("cannot read a DONE frame: a field has the wrong size")
    how, value, flags, stdout, stderr = fields
    if len(stdout) > MAX_STDOUT or len(stderr) > MAX_STDERR or how[0] not in set(How):
        raise FrameError("cannot read a DONE frame: a value is out of range")
    return Done(
        how=How(how[0]),
        value=int.from_bytes(value, "little"),
        truncated=bool(flags[0] & TRUNCATED),
        stdout=stdout,
        stderr=stderr,
    )


def find(tag: int, path: Sequence[str], types: Sequence[PluginType]) -> bytes:
    """Write a FIND: which of these types are on the search path."""
    if len(types) > MAX_TYPES:
        raise FrameError(f"cannot ask for {len(types)} plugins at once: the limit is {MAX_TYPES}")
    return pack(Type.FIND, tag, _text(":".join(path)), *map(_text, types))


def execute(tag: int, request: Execution) -> bytes:
    """Write an EXEC."""
    if len(request.environment) > MAX_ENV or len(request.stdin) > MAX_STDIN:
        raise FrameError(f"cannot run plugin {request.type!r}: its environment or its input is too large")
    pairs = (_text(f"{key}={value}") for key, value in request.environment.items())
    return pack(Type.EXEC, tag, _text(request.type), _text(":".join(request.path)), request.stdin, *pairs)


def kill(tag: int) -> bytes:
    """Write a KILL for the EXEC of that tag."""
    return pack(Type.KILL, tag)


def result(status: int, stdout: bytes, stderr: bytes) -> bytes:
    """Write the RESULT that ends a call; stderr is only for people and is cut at its limit."""
    return pack(Type.RESULT, 0, bytes([status]), stdout, stderr[:MAX_STDERR])


def _at_least(fields: list[bytes], count: int, what: str) -> list[bytes]:
    if len(fields) < count:
        raise FrameError(f"cannot read a {what} frame: it has {len(fields)} fields of {count}")
    return fields


def _pair(field: bytes) -> tuple[str, str]:
    try:
        key, separator, value = field.decode().partition("=")
    except UnicodeDecodeError:
        raise FrameError("cannot read a CALL frame: a variable is not UTF-8") from None
    if not key or not separator:
        raise FrameError("cannot read a CALL frame: a variable has no name")
    return key, value


def _text(value: str) -> bytes:
    """Encode what the shim will hand to the kernel, where a NUL would end it early."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise FrameError(f"cannot send {value!r} to a plugin: it is not valid text") from None
    if b"\0" in data:
        raise FrameError(f"cannot send {value!r} to a plugin: it holds a NUL")
    return data
