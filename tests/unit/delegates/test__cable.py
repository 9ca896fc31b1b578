# SPDX-License-Identifier: Apache-2.0
"""Whose a cable is stands on it; laid for real it is in tests/contract and tests/kernel."""

from pathlib import Path

from delegates import _cable
from delegates._call import Attachment
from metacni.cni.names import ContainerId, IfName, NetworkName
from metacni.netns import wire
from metacni.netns.devices import HEADER
from tests.unit.netns.kernels import DONE, Kernel, handle

NET = NetworkName("net")


def owner(container: str, ifname: str = "eth0") -> Attachment:
    """An attachment."""
    return Attachment(container=ContainerId(container), ifname=IfName(ifname))


def link(index: int, alias: str, kind: str = "veth") -> tuple[int, int, bytes]:
    """A link in a dump."""
    info = wire.nested(18, wire.attribute(1, kind))
    return 16, 2, HEADER.pack(0, 0, index, 0, 0) + info + wire.attribute(20, alias)


def test_the_remark_names_network_container_and_interface() -> None:
    """One that the kernel would cut is left out, or garbage collection would read it wrongly."""
    assert _cable.remark(NET, owner("c1", "net.1")) == "metacni net c1 net.1"
    assert _cable.remark(NetworkName("n" * 120), owner("c" * 130)) == ""


def test_only_cables_of_this_network_that_are_not_valid_go() -> None:
    """Other networks', other people's and other kinds of links stay."""
    kernel = Kernel([
        link(2, "metacni net c1 eth0"), link(3, "metacni net c2 eth0"), link(4, "metacni net c1 net1"), link(5, ""),
        link(6, "metacni other c2 eth0"), link(7, "metacni net c2"), link(8, "metacni net c2 eth0", "bridge"),
        (DONE, 2, bytes(4)),
    ])  # fmt: skip
    _cable.remove_others(handle(kernel), NET, [owner("c1")])
    assert [HEADER.unpack_from(message.body)[2] for message in kernel.sent if message.kind == 17] == [3, 4]


def test_a_node_without_ipv6_needs_no_setting(tmp_path: Path) -> None:
    """There are no router advertisements to ignore."""
    _cable.ignore_advertisements(tmp_path, "veth1")
    file = tmp_path / "ipv6/conf/veth1/accept_ra"
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    _cable.ignore_advertisements(tmp_path, "veth1")
    assert file.read_text().startswith("0")


def test_the_near_ends_own_address_is_usable_at_once(tmp_path: Path) -> None:
    """A node without IPv6 is fine."""
    _cable.be_usable_at_once(tmp_path, "veth1")
    file = tmp_path / "ipv6/conf/veth1/accept_dad"
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    _cable.be_usable_at_once(tmp_path, "veth1")
    assert file.read_text().startswith("0")
