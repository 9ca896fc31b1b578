# SPDX-License-Identifier: Apache-2.0
"""The verbs for ports and VLANs as bytes for a kernel in memory; with a real one they stand in tests/uml."""

import struct
from collections.abc import Callable

import pytest

from metacni.netns import bridges, wire
from metacni.netns.bridges import Leg
from metacni.netns.devices import HEADER
from metacni.netns.netlink import Netlink
from tests.unit.netns.kernels import Kernel, handle

SET, DELETE = 19, 17


def sent(act: Callable[[Netlink], object]) -> tuple[int, tuple[int, ...], bytes]:
    """The one message of a verb: kind, header, all behind it."""
    kernel = Kernel()
    act(handle(kernel))
    (message,) = kernel.sent
    return message.kind, HEADER.unpack_from(message.body), message.body[HEADER.size :]


@pytest.mark.parametrize(
    ("act", "kind", "expected"),
    [
        pytest.param(lambda n: bridges.add_native_vlan(n, 5, 7), SET, [(6, 7)], id="native"),
        pytest.param(lambda n: bridges.add_vlans(n, 5, [9]), SET, [(0, 9)], id="one"),
        pytest.param(lambda n: bridges.add_vlans(n, 5, {9, 4, 3, 5, 11}), SET,
                     [(8, 3), (16, 5), (0, 9), (0, 11)], id="runs"),
        pytest.param(lambda n: bridges.add_vlans(n, 5, range(1, 4095)), SET, [(8, 1), (16, 4094)], id="all"),
        pytest.param(lambda n: bridges.remove_vlans(n, 5), DELETE, [(8, 1), (16, 4094)], id="none"),
    ],
)  # fmt: skip
def test_vlans_are_one_message(act: Callable[[Netlink], object], kind: int, expected: list[tuple[int, int]]) -> None:
    """About one port, to the bridge's part of the kernel; neighbours together."""
    verb, header, data = sent(act)
    assert (verb, header) == (kind, (7, 0, 5, 0, 0))
    entries = wire.listed(wire.attributes(data)[26])
    assert [struct.unpack("=HH", value) for number, value in entries if number == 2] == expected


@pytest.mark.parametrize("hairpin", [True, False])
@pytest.mark.parametrize("isolated", [True, False])
def test_a_port_is_tuned_at_once(hairpin: bool, isolated: bool) -> None:  # noqa: FBT001 - rows
    """Both settings in one message, set or unset."""
    _, header, data = sent(lambda netlink: bridges.tune_port(netlink, 5, hairpin=hairpin, isolated=isolated))
    info = wire.attributes(wire.attributes(data)[18])
    port = wire.attributes(info[5])
    assert (header[2], info[4], port) == (5, b"bridge", {4: bytes([hairpin]), 33: bytes([isolated])})


def test_a_leg_is_made_whole_in_one_message() -> None:
    """The port in its bridge and up; the other end on the node, not up yet, for the kernel makes it first."""
    leg = Leg(
        port_name="veth1", name="br1.5", bridge=3, mtu=1400, port_mac="02:00:5e:00:00:01", mac="02:00:5e:00:00:02"
    )
    _, header, data = sent(lambda netlink: bridges.create_leg(netlink, leg))
    port = wire.attributes(data)
    assert header == (0, 0, 0, 1, 1)
    assert (port[3], port[10], port[1]) == (b"veth1\0", b"\3\0\0\0", b"\2\0\x5e\0\0\1")
    far = wire.attributes(wire.attributes(port[18])[2])[1]
    assert HEADER.unpack_from(far) == (0, 0, 0, 0, 0)
    assert wire.attributes(far, HEADER.size) == {3: b"br1.5\0", 1: b"\2\0\x5e\0\0\2", 4: b"\x78\5\0\0"}
