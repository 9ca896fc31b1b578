# SPDX-License-Identifier: Apache-2.0
"""Frames as values: what is written can be read, and nothing that is read can do more than raise FrameError."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.cni.names import PluginType
from metacni.exec import frames
from metacni.exec.frames import Call, Execution, FrameError, Header, How, Type, VersionError

FAKE = PluginType("fake")


def length(size: int) -> bytes:
    """Write a field's length."""
    return size.to_bytes(4, "little")


def payload(*fields: bytes) -> bytes:
    """Write a payload by hand, as the shim would."""
    return b"".join(length(len(field)) + field for field in fields)


@given(kind=st.sampled_from(Type), tag=st.integers(0, 2**32 - 1), fields=st.lists(st.binary(), max_size=20))
def test_what_is_packed_can_be_read(kind: Type, tag: int, fields: list[bytes]) -> None:
    """Header and fields come back as they were."""
    data = frames.pack(kind, tag, *fields)
    head = frames.header(data[: frames.HEADER_SIZE])
    assert head == Header(type=kind, tag=tag, length=len(data) - 12)
    assert frames.split(data[frames.HEADER_SIZE :]) == fields


@given(st.binary(max_size=400) | st.lists(st.binary(max_size=8), max_size=8).map(lambda fields: payload(*fields)))
def test_no_bytes_break_a_reader(data: bytes) -> None:
    """Every reader answers any payload with a value or a FrameError."""
    for read in (
        frames.header,
        frames.record,
        frames.done,
        lambda body: frames.call(body, None),
        lambda body: frames.call(body, 3),
        lambda body: frames.found(body, 2),
    ):
        with suppress(FrameError):
            read(data)


@given(st.data())
def test_damage_to_a_call_is_noticed_or_harmless(data: st.DataObject) -> None:
    """One changed byte of a record gives another call or a FrameError, and nothing else."""
    whole = bytearray(frames.pack(Type.CALL, 0, b"\0", b"metacni", b"containerd", b"{}", b"CNI_COMMAND=DEL"))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FrameError):
        assert isinstance(frames.record(bytes(whole)), Call)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param(b"\x43\x4d\x01", "has 12", id="cut"),
        pytest.param(b"GET / HTTP/1", "starts with 0x4547", id="magic"),
        pytest.param(b"\x43\x4d\x01\x09" + bytes(8), "type 9 is unknown", id="type"),
        pytest.param(b"\x43\x4d\x01\x01" + bytes(4) + length(8388597), "the limit is 8388608", id="length"),
    ],
)
def test_a_bad_header_is_refused(raw: bytes, text: str) -> None:
    """Before a byte of its payload is waited for."""
    with pytest.raises(FrameError, match=text):
        frames.header(raw)


def test_another_version_is_told_apart() -> None:
    """It is no damage, but an upgrade under way."""
    with pytest.raises(VersionError, match="cannot read a frame of version 2: this agent speaks version 1"):
        frames.header(b"\x43\x4d\x02\xff" + bytes(8))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x01\0\0", id="cut length"),
        pytest.param(length(2) + b"x", id="beyond the end"),
        pytest.param(length(0xFFFFFFFF) + b"x", id="huge"),
        pytest.param(length(0) * 262, id="too many"),
    ],
)
def test_fields_must_fill_the_payload(body: bytes) -> None:
    """Neither less nor more, and not without end."""
    with pytest.raises(FrameError):
        frames.split(body)


def test_a_call_is_read() -> None:
    """The last of two variables counts (B8); names that are cut inside a character are no fault."""
    body = payload(b"\x01", b"multus", b"contain\xc3", b"{}", b"CNI_A=1", b"CNI_A=2=3", b"CNI_B=")
    call = frames.call(body, 7)
    assert (call.program, call.parent) == ("multus", "contain\N{REPLACEMENT CHARACTER}")
    assert (call.environment, call.stdin, call.netns) == ({"CNI_A": "2=3", "CNI_B": ""}, b"{}", 7)


def test_a_call_tells_of_cgroups_if_its_flag_says_so(tmp_path: Path) -> None:
    """Any bytes, for names in a file system are that; without the flag, as in an older record, none are known."""
    call = frames.call(payload(b"\x02", b"metacni", b"", b"0::/caf\xe9\n", b"{}", b"CNI_A=1"), None)
    (tmp_path / "cgroup").write_bytes(os.fsencode(call.cgroup))
    assert (tmp_path / "cgroup").read_bytes() == b"0::/caf\xe9\n"
    assert (call.environment, call.stdin) == ({"CNI_A": "1"}, b"{}")
    assert frames.call(payload(b"\0", b"metacni", b"", b"{}", b"CNI_A=1"), None).cgroup == ""
    most = payload(b"\3", b"", b"", bytes(4096).replace(b"\0", b"x"), b"", *[b"A=1"] * 256)
    assert len(frames.call(most, 3).cgroup) == 4096


@pytest.mark.parametrize(
    ("body", "netns"),
    [
        pytest.param(payload(b"\0", b"", b""), None, id="a field too few"),
        pytest.param(payload(b"", b"", b"", b""), None, id="no flags"),
        pytest.param(payload(b"\1", b"", b"", b""), None, id="netns promised"),
        pytest.param(payload(b"\0", b"", b"", b""), 3, id="netns unannounced"),
        pytest.param(payload(b"\0", b"", b"", bytes(4194305)), None, id="stdin"),
        pytest.param(payload(b"\0", b"", b"", b"", *[b"A=1"] * 257), None, id="variables"),
        pytest.param(payload(b"\2", b"", b"", b""), None, id="cgroup promised"),
        pytest.param(payload(b"\2", b"", b"", b"x" * 4097, b""), None, id="cgroup"),
        pytest.param(payload(b"\2", b"", b"", b"0::/\0", b""), None, id="NUL in a cgroup"),
        pytest.param(payload(b"\0", b"", b"", b"", b"A"), None, id="no value"),
        pytest.param(payload(b"\0", b"", b"", b"", b"=1"), None, id="no name"),
        pytest.param(payload(b"\0", b"", b"", b"", b"A=\xff"), None, id="not UTF-8"),
    ],
)
def test_a_bad_call_is_refused(body: bytes, netns: int | None) -> None:
    """Each rule of frames.md, broken once."""
    with pytest.raises(FrameError):
        frames.call(body, netns)


@pytest.mark.parametrize(
    "body", [payload(), payload(b"\1"), payload(b"\1\0\1"), payload(b"\1\2"), payload(b"\1\0", b"")]
)
def test_found_must_answer_each_type(body: bytes) -> None:
    """One byte each, 0 or 1."""
    with pytest.raises(FrameError):
        frames.found(body, 2)
    assert frames.found(payload(b"\1\0"), 2) == (True, False)


def test_a_done_is_read() -> None:
    """All five fields."""
    done = frames.done(payload(b"\3", length(26), b"\1", b"out", b"err"))
    assert (done.how, done.value, done.truncated, done.stdout, done.stderr) == (How.FAILED, 26, True, b"out", b"err")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(payload(b"\0", length(0), b"\0", b""), id="a field too few"),
        pytest.param(payload(b"\0", length(0), b"\0", b"", b"", b""), id="a field too many"),
        pytest.param(payload(b"\4", length(0), b"\0", b"", b""), id="how"),
        pytest.param(payload(b"\0", b"\0", b"\0", b"", b""), id="value"),
        pytest.param(payload(b"\0", length(0), b"\0", bytes(1048577), b""), id="stdout"),
        pytest.param(payload(b"\0", length(0), b"\0", b"", bytes(65537)), id="stderr"),
    ],
)
def test_a_bad_done_is_refused(body: bytes) -> None:
    """A shim's limits hold on this side, too."""
    with pytest.raises(FrameError):
        frames.done(body)


def test_requests_are_written() -> None:
    """Byte for byte, as the shim's parser expects them."""
    request = Execution(type=FAKE, path=("/a", "/b"), environment={"CNI_COMMAND": "ADD"}, stdin=b"{}")
    assert frames.execute(5, request) == frames.pack(Type.EXEC, 5, b"fake", b"/a:/b", b"{}", b"CNI_COMMAND=ADD")
    assert frames.find(6, ["/a"], [FAKE]) == frames.pack(Type.FIND, 6, b"/a", b"fake")
    assert frames.kill(5) == b"\x43\x4d\x01\x07\x05\0\0\0\0\0\0\0"
    assert frames.result(1, b"{}", bytes(70_000)) == frames.pack(Type.RESULT, 0, b"\x01", b"{}", bytes(65536))


@pytest.mark.parametrize(
    ("environment", "stdin"),
    [
        pytest.param({}, bytes(4194305), id="stdin"),
        pytest.param({f"CNI_{i}": "" for i in range(257)}, b"", id="many"),
        pytest.param({"CNI_ARGS": "a\0b"}, b"", id="NUL"),
        pytest.param({"CNI_ARGS": "\ud800"}, b"", id="surrogate"),
    ],
)
def test_what_the_shim_would_refuse_is_not_sent(environment: dict[str, str], stdin: bytes) -> None:
    """An annotation can hold any of these."""
    with pytest.raises(FrameError):
        frames.execute(1, Execution(type=FAKE, path=(), environment=environment, stdin=stdin))


def test_too_large_or_too_many_is_not_sent() -> None:
    """The limits of a frame, and of a FIND."""
    with pytest.raises(FrameError):
        frames.result(0, bytes(frames.MAX_FRAME), b"")
    with pytest.raises(FrameError):
        frames.find(1, [], [FAKE] * 65)


def test_a_record_is_one_whole_call() -> None:
    """Cut, longer or another frame: damaged."""
    whole = frames.pack(Type.CALL, 0, b"\0", b"metacni", b"crio", b"{}", b"CNI_COMMAND=DEL")
    assert frames.record(whole).environment == {"CNI_COMMAND": "DEL"}
    for damaged in (b"", whole[:-1], whole + b"x", frames.kill(1)):
        with pytest.raises(FrameError):
            frames.record(damaged)
