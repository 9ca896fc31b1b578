# SPDX-License-Identifier: Apache-2.0
"""The iptables backend's chains over a kernel in memory; what the real iptables made is removed in tests/contract."""

import struct

from delegates import _iptables
from metacni.cni.names import ContainerId, NetworkName
from metacni.netns import expressions, nftables, wire
from tests.unit.netns.kernels import DONE, Kernel, handle

NET = NetworkName("net")
C1 = "CNI-623e1c388032b20529218ecc"
C2 = _iptables.chain_of(NET, ContainerId("c2"))
TABLE = nftables.Table(nftables.IPV4, "nat")
EMPTY = [(DONE, 2, bytes(4))]


def entry(handle_: int, chain: str, remark: str) -> tuple[int, int, bytes]:
    """A rule of POSTROUTING in a dump, with its remark in the form of the match `comment`."""
    comment = wire.attribute(1, "match") + wire.nested(2, wire.attribute(3, remark.encode().ljust(256, b"\0")))
    rule = nftables.new_rule(TABLE, "POSTROUTING", [comment, *expressions.jump(chain)])
    return 0xA06, 2, rule.body + wire.attribute(3, struct.pack("!Q", handle_))


def test_a_chain_is_named_after_network_and_container() -> None:
    """As the reference names it: not after the interface."""
    assert _iptables.chain_of(NET, ContainerId("c1")) == C1


def test_only_chains_of_this_network_that_are_not_valid_go() -> None:
    """First what jumps there; another network's, a valid container's and what only looks alike stay."""
    entries = [
        entry(1, C1, 'name: "net" id: "c1"'),
        entry(2, C2, 'name: "net" id: "c2"'), entry(3, C2, 'name: "net" id: "c2"'),
        entry(4, _iptables.chain_of(NetworkName("net2"), ContainerId("c2")), 'name: "net2" id: "c2"'),
        entry(5, "CNI-of-another", 'name: "net" id: "c3"'), entry(6, "CNI-HOSTPORT-MASQ", "x"), *EMPTY,
    ]  # fmt: skip
    kernel = Kernel(entries, entries, EMPTY)
    changes = _iptables.removal_of_others(handle(kernel), NET, [ContainerId("c1")])
    found = [(change.kind & 0xFF, wire.attributes(change.body, 4)) for change in changes]
    assert [(kind, parts.get(3)) for kind, parts in found] == [
        (8, struct.pack("!Q", 2)), (8, struct.pack("!Q", 3)), (5, f"{C2}\0".encode())
    ]  # fmt: skip


def test_a_container_without_a_chain_costs_two_questions() -> None:
    """One for each family; nothing is listed."""
    kernel = Kernel(*[[(2, 0, struct.pack("=i", -2) + bytes(16))]] * 2)
    assert _iptables.removal(handle(kernel), NET, ContainerId("c1")) == []
    assert len(kernel.sent) == 2
