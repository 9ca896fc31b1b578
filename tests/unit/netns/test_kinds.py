# SPDX-License-Identifier: Apache-2.0
"""Links on links as bytes for a kernel in memory; real ones stand in tests/contract, tests/kernel and tests/uml."""

import errno

import pytest

from metacni.netns import kinds, wire
from metacni.netns.devices import HEADER
from metacni.netns.kinds import Dummy, Ipvlan, Kind, Macvlan, Plan, Vlan
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.wire import attribute, nested
from tests.unit.netns.kernels import Kernel, ack, handle


def test_a_link_is_made_whole_in_one_message() -> None:
    """In the pod, on its master, with name, MAC, MTU and group; down, and only if the name is free."""
    kernel = Kernel()
    plan = Plan(
        kind=Macvlan(mode="vepa", queue=300), name="net1", lower=7, netns_fd=9, group=77, mtu=1400,
        mac="02:00:5e:00:00:01",
    )  # fmt: skip
    kinds.create(handle(kernel), plan)
    (message,) = kernel.sent
    assert (message.kind, message.flags) == (16, 0x605)
    assert HEADER.unpack_from(message.body) == (0, 0, 0, 0, 0)
    found = wire.attributes(message.body, HEADER.size)
    info = wire.attributes(found.pop(18))
    assert found == {
        3: b"net1\0", 5: b"\7\0\0\0", 28: b"\x09\0\0\0", 27: b"M\0\0\0", 4: b"\x78\x05\0\0",
        1: bytes.fromhex("02005e000001"),
    }  # fmt: skip
    assert info[1] == b"macvlan"
    assert wire.attributes(info[2]) == {1: b"\2\0\0\0", 7: b"\x2c\1\0\0"}


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [
        pytest.param(Macvlan(), b"macvlan", {1: b"\4\0\0\0"}, id="macvlan-bridge"),
        pytest.param(Macvlan(mode="private"), b"macvlan", {1: b"\1\0\0\0"}, id="macvlan-private"),
        pytest.param(Macvlan(mode="passthru"), b"macvlan", {1: b"\x08\0\0\0"}, id="macvlan-passthru"),
        pytest.param(Ipvlan(), b"ipvlan", {1: b"\0\0"}, id="ipvlan-l2"),
        pytest.param(Ipvlan(mode="l3"), b"ipvlan", {1: b"\1\0"}, id="ipvlan-l3"),
        pytest.param(Ipvlan(mode="l3s"), b"ipvlan", {1: b"\2\0"}, id="ipvlan-l3s"),
        pytest.param(Vlan(identifier=4094), b"vlan", {1: b"\xfe\x0f"}, id="vlan"),
        pytest.param(Dummy(), b"dummy", {}, id="dummy"),
    ],
)
def test_a_kind_is_written_and_read(kind: Kind, name: bytes, data: dict[int, bytes]) -> None:
    """What the kernel is told is what is read from it."""
    kernel = Kernel()
    kinds.create(handle(kernel), Plan(kind=kind, name="x"))
    found = wire.attributes(kernel.sent[0].body, HEADER.size)
    info = wire.attributes(found.pop(18))
    assert found == {3: b"x\0"}  # nothing that was not asked for
    assert (info[1], wire.attributes(info.get(2, b""))) == (name, data)
    told = HEADER.pack(0, 0, 5, 0, 0) + nested(
        18, attribute(1, name), nested(2, *(attribute(*item) for item in data.items()))
    )
    assert kinds.of(handle(Kernel([(16, 0, told)])), 5) == kind


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        pytest.param((), None, id="no-kind"),
        pytest.param((attribute(1, b"veth"),), None, id="another-kind"),
        pytest.param(
            (attribute(1, b"macvlan"), nested(2, attribute(1, 16))), Macvlan(mode="16"), id="mode-of-none-of-us"
        ),
        pytest.param((attribute(1, b"vlan"), nested(2, attribute(1, b"\5"))), Vlan(identifier=0), id="cut-off"),
    ],
)
def test_what_is_none_of_ours_is_told_apart(info: tuple[bytes, ...], expected: Kind | None) -> None:
    """Other kinds, other modes, and what is too short."""
    told = HEADER.pack(0, 0, 5, 0, 0) + nested(18, *info)
    assert kinds.of(handle(Kernel([(16, 0, told)])), 5) == expected


def test_the_queue_is_the_masters_and_makes_no_other_kind() -> None:
    """The kernel tells the longest that any link of the master asked for."""
    assert Macvlan(queue=5) == Macvlan(queue=1000)


def test_a_refusal_is_the_kernels_own() -> None:
    """A name that is taken, a link that is gone."""
    with pytest.raises(FileExistsError):
        kinds.create(handle(Kernel([ack(errno.EEXIST)])), Plan(kind=Dummy(), name="x"))
    with pytest.raises(OSError, match="No such device"):
        kinds.of(handle(Kernel([ack(errno.ENODEV)])), 5)


def test_the_loopback_interface_is_none_of_these() -> None:
    """The real kernel's."""
    with Netlink(own_socket()) as netlink:
        assert kinds.of(netlink, 1) is None
