# SPDX-License-Identifier: Apache-2.0
"""Routes that stand once, as bytes for a kernel in memory."""

import struct
from ipaddress import ip_address, ip_network

import pytest

from metacni.netns import exact, wire
from tests.unit.netns.kernels import Kernel, ack, handle

HEADER = struct.Struct("=BBBBBBBBI")


def test_a_route_says_over_what_and_from_where() -> None:
    """It is made, not replaced nor appended; main table, protocol boot, unicast."""
    kernel = Kernel()
    exact.add(
        handle(kernel), 7, ip_network("10.1.0.0/24"), gateway=ip_address("10.1.0.1"), source=ip_address("10.1.0.5")
    )
    (message,) = kernel.sent
    assert (message.kind, message.flags) == (24, 0x605)
    assert HEADER.unpack_from(message.body) == (2, 24, 0, 0, 254, 3, 0, 1, 0)
    assert wire.attributes(message.body, HEADER.size) == {
        1: b"\x0a\1\0\0", 4: b"\7\0\0\0", 5: b"\x0a\1\0\1", 7: b"\x0a\1\0\5"
    }  # fmt: skip


def test_a_route_to_one_address_over_the_link() -> None:
    """With a scope, and neither next hop nor source."""
    kernel = Kernel()
    exact.add(handle(kernel), 7, ip_network("fd01::2/128"), scope=exact.HOST)
    (message,) = kernel.sent
    assert HEADER.unpack_from(message.body)[:7] == (10, 128, 0, 0, 254, 3, 254)
    assert set(wire.attributes(message.body, HEADER.size)) == {1, 4}


def test_only_the_route_that_came_with_an_address_goes() -> None:
    """The kernel's own, of any scope; that there is none is told."""
    kernel = Kernel([ack(3)])
    with pytest.raises(ProcessLookupError):
        exact.delete_connected(handle(kernel), 7, ip_network("10.1.0.0/24"))
    (message,) = kernel.sent
    assert message.kind == 25
    assert HEADER.unpack_from(message.body) == (2, 24, 0, 0, 254, 2, 255, 0, 0)
    assert wire.attributes(message.body, HEADER.size) == {1: b"\x0a\1\0\0", 4: b"\7\0\0\0"}


def test_a_route_that_stands_there_is_refused() -> None:
    """As the kernel says it."""
    with pytest.raises(FileExistsError):
        exact.add(handle(Kernel([ack(17)])), 7, ip_network("10.1.0.1/32"))
