# SPDX-License-Identifier: Apache-2.0
"""The properties of links as bytes for a kernel in memory."""

import struct
from collections.abc import Callable

import pytest

from metacni.netns import properties, wire
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.properties import Properties
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

LINK = struct.pack("=BxHiII", 0, 1, 7, 0x1 | 0x100 | 0x200, 0)


@pytest.mark.parametrize(
    ("change", "flags", "mask", "attributes"),
    [
        pytest.param(lambda link: properties.set_mtu(link, 7, 1400), 0, 0, {4: b"\x78\5\0\0"}, id="mtu"),
        pytest.param(lambda link: properties.set_queue(link, 7, 0), 0, 0, {13: bytes(4)}, id="queue"),
        pytest.param(lambda link: properties.set_promiscuous(link, 7, on=True), 0x100, 0x100, {}, id="promiscuous"),
        pytest.param(lambda link: properties.set_promiscuous(link, 7, on=False), 0, 0x100, {}, id="not-promiscuous"),
        pytest.param(lambda link: properties.set_all_multicast(link, 7, on=True), 0x200, 0x200, {}, id="all-multicast"),
        pytest.param(
            lambda link: properties.set_all_multicast(link, 7, on=False), 0, 0x200, {}, id="not-all-multicast"
        ),
    ],
)
def test_a_property_is_set_alone(
    change: Callable[[Netlink], None], flags: int, mask: int, attributes: dict[int, bytes]
) -> None:
    """One message; no other flag of the link changes."""
    kernel = Kernel()
    change(handle(kernel))
    (message,) = kernel.sent
    assert message.kind == 19
    assert struct.unpack_from("=BxHiII", message.body) == (0, 0, 7, flags, mask)
    assert wire.attributes(message.body, 16) == attributes


def test_properties_are_read() -> None:
    """All of them from one message."""
    body = LINK + wire.attribute(1, bytes(6)) + wire.attribute(4, 1500) + wire.attribute(13, 1000)
    found = properties.find(handle(Kernel([(16, 0, body), (DONE, 0, bytes(4))])), "eth0")
    assert found == Properties(
        index=7, mac="00:00:00:00:00:00", mtu=1500, promiscuous=True, all_multicast=True, queue=1000
    )


def test_no_such_link() -> None:
    """None; any other refusal raises."""
    assert properties.find(handle(Kernel([ack(19)])), "eth0") is None
    with pytest.raises(PermissionError):
        properties.find(handle(Kernel([ack(1)])), "eth0")


def test_the_real_kernels_loopback_can_be_read() -> None:
    """It has an MTU whatever the machine."""
    with Netlink(own_socket()) as netlink:
        found = properties.find(netlink, "lo")
    assert found is not None
    assert found.mtu > 0
