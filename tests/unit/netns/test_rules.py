# SPDX-License-Identifier: Apache-2.0
"""The rule verbs as bytes for a kernel in memory."""

import struct
from ipaddress import ip_address

import pytest

from metacni.netns import rules, wire
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.rules import Rule
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

FOUR, SIX = ip_address("10.1.0.2"), ip_address("fd01::2")


@pytest.mark.parametrize(
    ("source", "table", "header"),
    [
        pytest.param(FOUR, 100, "02 00 20 00 64 00 00 01", id="ipv4"),
        pytest.param(SIX, 100, "0a 00 80 00 64 00 00 01", id="ipv6"),
        pytest.param(FOUR, 1000, "02 00 20 00 00 00 00 01", id="large-table"),
    ],
)
def test_a_rule_is_added_and_deleted(source: rules.Source, table: int, header: str) -> None:
    """From one address to one table, at the kernel's choice of preference."""
    kernel = Kernel()
    rules.add(handle(kernel), source, table)
    rules.delete(handle(kernel), rules.made(source, table))
    added, deleted = kernel.sent
    assert (added.kind, added.flags, deleted.kind) == (32, 0x605, 33)
    assert added.body == deleted.body
    assert added.body[:8].hex(" ") == header
    assert wire.attributes(added.body, 12) == {2: source.packed, 15: struct.pack("=I", table)}


def _dumped(family: int, length: int, table: int, *parts: bytes) -> tuple[int, int, bytes]:
    return 32, 2, struct.pack("=BBBBBBBBI", family, 0, length, 0, table, 0, 0, 1, 0) + b"".join(parts)


@pytest.mark.parametrize(
    ("dumped", "expected"),
    [
        pytest.param(_dumped(2, 0, 254), (None, False, 254), id="everything"),
        pytest.param(_dumped(2, 32, 100, wire.attribute(2, FOUR.packed)), (FOUR, True, 100), id="an-address"),
        pytest.param(_dumped(2, 24, 9, wire.attribute(2, b"\x0a\1\0\0")), (ip_address("10.1.0.0"), False, 9), id="net"),
        pytest.param(_dumped(10, 128, 0, wire.attribute(2, SIX.packed), wire.attribute(15, 1000)), (SIX, True, 1000),
                     id="large-table"),
    ],
)  # fmt: skip
def test_rules_are_read(dumped: tuple[int, int, bytes], expected: tuple[object, bool, int]) -> None:
    """Of both families, each asked for by itself."""
    kernel = Kernel([dumped, (DONE, 2, bytes(4))], [(DONE, 2, bytes(4))])
    (found,) = rules.every(handle(kernel))
    assert (found.source, found.exact, found.table) == expected
    assert [message.body[0] for message in kernel.sent] == [2, 10]


def test_a_deleted_rule_comes_back_as_it_was() -> None:
    """To the byte, its preference included."""
    body = _dumped(2, 32, 100, wire.attribute(2, FOUR.packed), wire.attribute(6, 99))[2]
    kernel = Kernel()
    rules.put_back(handle(kernel), Rule(source=FOUR, exact=True, table=100, body=body))
    assert [(message.kind, message.flags, message.body) for message in kernel.sent] == [(32, 0x605, body)]


def test_a_rule_that_is_gone_is_deleted() -> None:
    """Any other refusal raises."""
    rule = rules.made(FOUR, 100)
    rules.delete(handle(Kernel([ack(2)])), rule)
    with pytest.raises(PermissionError):
        rules.delete(handle(Kernel([ack(1)])), rule)


def test_the_real_kernels_rules_can_be_read() -> None:
    """There is one for the local table, whatever the machine."""
    with Netlink(own_socket()) as netlink:
        assert 255 in {rule.table for rule in rules.every(netlink)}
