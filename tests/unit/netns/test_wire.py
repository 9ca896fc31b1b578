# SPDX-License-Identifier: Apache-2.0
"""Netlink's bytes, compared with ones written down by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacni.netns import wire
from metacni.netns.wire import Message

ASK = Message(kind=18, flags=1, sequence=7, body=b"abcd")
ASKED = bytes.fromhex("14000000 1200 0100 07000000 00000000 61626364".replace(" ", ""))


def test_a_message_is_its_header_and_its_body() -> None:
    """Length, type, flags, sequence number, port, in the machine's order."""
    assert wire.pack(ASK) == ASKED
    assert list(wire.unpack(ASKED + ASKED)) == [ASK, ASK]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"\1\2\3", "07000100 010203 00", id="bytes-are-padded"),
        pytest.param(5, "08000100 05000000", id="number"),
        pytest.param("lo", "07000100 6c6f00 00", id="text-ends-with-nul"),
        pytest.param(b"", "04000100", id="empty"),
    ],
)
def test_an_attribute_has_length_and_type(value: bytes | int | str, expected: str) -> None:
    """The length counts the header and not the padding."""
    assert wire.attribute(1, value).hex() == expected.replace(" ", "")


def test_attributes_are_read_back_nested_ones_too() -> None:
    """The flag that marks a nest is no part of the type."""
    inner = wire.attribute(1, "veth") + wire.attribute(2, 9)
    found = wire.attributes(b"head" + wire.nested(18, inner) + wire.attribute(3, "x"), 4)
    assert wire.text(found[3]) == "x"
    assert {kind: bytes(value) for kind, value in wire.attributes(found[18]).items()} == {
        1: b"veth\0",
        2: b"\x09\0\0\0",
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ASKED[:10], id="header-cut-off"),
        pytest.param(b"\xff" + ASKED[1:], id="length-beyond-the-end"),
        pytest.param(b"\x04" + ASKED[1:], id="length-below-the-header"),
    ],
)
def test_a_datagram_that_lies_is_an_error(data: bytes) -> None:
    """Nothing is read beyond its end."""
    with pytest.raises(ValueError, match="netlink"):
        list(wire.unpack(data))


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read_as_attributes(data: bytes) -> None:
    """Impossible lengths end the reading, they never raise or hang."""
    assert all(len(value) <= len(data) for value in wire.attributes(data).values())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, 42, id="absent"),
        pytest.param(b"\1", 42, id="short"),
        pytest.param(b"\1\1\0\0", 257, id="there"),
    ],
)
def test_a_number_has_a_default(value: bytes | None, expected: int) -> None:
    """An attribute that is absent or too short is not one."""
    assert wire.number(value, 42) == expected


def test_a_list_of_attributes_of_one_type_is_read_whole() -> None:
    """In order, up to one whose length is impossible."""
    data = wire.attribute(1, b"a") + wire.attribute(2, b"b") + wire.nested(1, wire.attribute(3, b"c"))
    assert list(wire.listed(data)) == [(1, b"a"), (2, b"b"), (1, wire.attribute(3, b"c"))]
    assert list(wire.listed(wire.attribute(1, b"a") + b"\xff\xff\1\0")) == [(1, b"a")]
