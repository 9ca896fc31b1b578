# SPDX-License-Identifier: Apache-2.0
"""The address verbs as bytes for a kernel in memory, and the real one's loopback addresses."""

from ipaddress import ip_interface

import pytest

from metacni.netns import addresses, wire
from metacni.netns.netlink import Netlink, own_socket
from tests.unit.netns.kernels import DONE, Kernel, handle


@pytest.mark.parametrize(
    ("text", "detect", "header", "attributes"),
    [
        pytest.param("10.1.0.2/24", False, "02 18 00 00 05000000", [1, 2, 4], id="ipv4-has-a-broadcast-address"),
        pytest.param("10.1.0.2/31", False, "02 1f 00 00 05000000", [1, 2], id="not-on-a-point-to-point-link"),
        pytest.param("fd01::2/64", False, "0a 40 02 00 05000000", [1, 2], id="ipv6-without-detection"),
        pytest.param("fd01::2/64", True, "0a 40 00 00 05000000", [1, 2], id="ipv6-with-detection"),
    ],
)
def test_an_address_is_added(text: str, detect: bool, header: str, attributes: list[int]) -> None:  # noqa: FBT001 - a row
    """Exclusively, so that one that is there is told."""
    kernel = Kernel()
    addresses.add(handle(kernel), 5, ip_interface(text), detect_duplicates=detect)
    (message,) = kernel.sent
    assert (message.kind, message.flags) == (20, 0x605)
    assert message.body[:8].hex() == header.replace(" ", "")
    assert sorted(wire.attributes(message.body, 8)) == attributes


def test_only_the_asked_link_and_family_count() -> None:
    """An old kernel lists the addresses of all links."""
    ours = bytes.fromhex("0218800005000000") + wire.attribute(2, b"\x0a\1\0\2")
    other = bytes.fromhex("0218800006000000") + wire.attribute(2, b"\x0a\1\0\3")
    kernel = Kernel([(20, 2, ours), (20, 2, other), (DONE, 2, bytes(4))])
    assert addresses.of(handle(kernel), 5, 4) == [ip_interface("10.1.0.2/24")]


def test_duplicates_and_undecided_ones_are_told_apart() -> None:
    """By the kernel's flags, the long form of which wins."""
    rows = [(b"\1", 0x80), (b"\2", 0x48), (b"\3", 0x40)]
    answer = [
        (20, 2, bytes.fromhex("0a40800005000000") + wire.attribute(1, bytes(15) + last) + wire.attribute(8, flags))
        for last, flags in rows
    ]
    kernel = Kernel([*answer, (DONE, 2, bytes(4))])
    failed, waiting = addresses.duplicate_detection(handle(kernel), 5)
    assert (failed, waiting) == ([ip_interface("::2/64")], [ip_interface("::3/64")])


def test_the_loopback_addresses_of_the_real_kernel() -> None:
    """127.0.0.1 is there in any namespace whose loopback interface is up."""
    with Netlink(own_socket()) as netlink:
        assert ip_interface("127.0.0.1/8") in addresses.of(netlink, 1, 4)
