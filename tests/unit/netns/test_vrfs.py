# SPDX-License-Identifier: Apache-2.0
"""The VRF verbs as bytes for a kernel in memory."""

import struct

from metacni.netns import vrfs, wire
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.vrfs import Link
from tests.unit.netns.kernels import DONE, Kernel, handle


def _dumped(index: int, name: str, *parts: bytes) -> tuple[int, int, bytes]:
    return 16, 2, struct.pack("=BxHiII", 0, 1, index, 1, 0) + wire.attribute(3, name) + b"".join(parts)


def test_a_vrf_is_created() -> None:
    """Up, with its table, and only if the name is free."""
    kernel = Kernel()
    vrfs.create(handle(kernel), "blue", 10)
    (message,) = kernel.sent
    assert (message.kind, message.flags) == (16, 0x605)
    assert struct.unpack_from("=BxHiII", message.body) == (0, 0, 0, 1, 1)
    found = wire.attributes(message.body, 16)
    info = wire.attributes(found[18])
    assert (found[3], info[1], wire.attributes(info[2])) == (b"blue\0", b"vrf", {1: struct.pack("=I", 10)})


def test_a_link_gets_a_master() -> None:
    """By index; 0 is none."""
    kernel = Kernel()
    vrfs.set_master(handle(kernel), 7, 3)
    (message,) = kernel.sent
    assert (message.kind, wire.attributes(message.body, 16)) == (19, {10: struct.pack("=I", 3)})


def test_links_are_read() -> None:
    """Of a VRF the table, of a port the master; a table is a VRF's alone."""
    blue = wire.nested(18, wire.attribute(1, b"vrf"), wire.nested(2, wire.attribute(1, 10)))
    veth = wire.nested(18, wire.attribute(1, b"veth"), wire.nested(2, wire.attribute(1, 10)))
    answer = [
        _dumped(3, "blue", blue),
        _dumped(7, "eth0", wire.attribute(10, 3), veth),
        _dumped(1, "lo"),
        (DONE, 2, bytes(4)),
    ]
    assert vrfs.every(handle(Kernel(answer))) == [
        Link(index=3, name="blue", master=0, table=10),
        Link(index=7, name="eth0", master=3, table=None),
        Link(index=1, name="lo", master=0, table=None),
    ]


def test_the_real_kernels_links_can_be_read() -> None:
    """There is a loopback, whatever the machine."""
    with Netlink(own_socket()) as netlink:
        assert "lo" in {link.name for link in vrfs.every(netlink)}
