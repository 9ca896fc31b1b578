# SPDX-License-Identifier: Apache-2.0
"""What the reference plugins' iptables backend left behind: found and taken away, never made.

Only what stands in nftables is seen, which is where today's `iptables` (iptables-nft) puts it; rules of iptables-legacy
are that program's alone. Must not touch a chain whose name is not that of a pod's.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from metacni.cni.names import ContainerId, NetworkName
from metacni.netns import nftables
from metacni.netns.netlink import Netlink, Request
from metacni.netns.nftables import Rule, Table

_TABLES: Final = (Table(nftables.IPV4, "nat"), Table(nftables.IPV6, "nat"))
_ENTRY: Final = "POSTROUTING"
_PREFIX: Final = "CNI-"
_DIGITS: Final = 24
_OWNER: Final = re.compile(rb'name: "([\w.-]+)" id: "([\w.-]+)"')


def masquerades(netlink: Netlink, network: NetworkName, container: ContainerId) -> bool:
    """Whether a container's addresses are hidden by such rules. Raises OSError."""
    return any(nftables.has_chain(netlink, table, chain_of(network, container)) for table in _TABLES)


def removal(netlink: Netlink, network: NetworkName, container: ContainerId) -> Sequence[Request]:
    """The changes that take a container's rules away, whichever interface they are for (E19). Raises OSError."""
    chain = chain_of(network, container)
    return [
        change
        for table in _TABLES
        if nftables.has_chain(netlink, table, chain)
        for change in _without(netlink, table, {chain})
    ]


def removal_of_others(
    netlink: Netlink, network: NetworkName, valid: Collection[ContainerId]
) -> Sequence[Request]:  # fmt: skip
    """The changes that take away a network's rules of containers that are none of these. Raises OSError."""
    kept = {chain_of(network, container) for container in valid}
    found: list[Request] = []
    for table in _TABLES:
        entries = nftables.rules(netlink, table, _ENTRY, f'name: "{network}" id: ')
        gone = {entry.target for entry in entries if _is_of(entry, network)} - kept
        if gone:
            found += _without(netlink, table, gone)
    return found


def chain_of(network: NetworkName, container: ContainerId) -> str:
    """The chain of a container in a network (E19)."""
    return _PREFIX + hashlib.sha512(f"{network}{container}".encode()).hexdigest()[:_DIGITS]


def _without(netlink: Netlink, table: Table, chains: Collection[str]) -> Iterator[Request]:
    for entry in nftables.rules(netlink, table, _ENTRY, _PREFIX):
        if entry.target in chains:
            yield nftables.delete_rule(table, _ENTRY, entry)
    for chain in sorted(chains):
        yield nftables.delete_chain(table, chain)


def _is_of(entry: Rule, network: NetworkName) -> bool:
    """Whether the remark on it names this network and the container of the chain it jumps to."""
    said = _OWNER.search(entry.body)
    if said is None or said[1].decode() != network:
        return False
    return entry.target == chain_of(network, ContainerId(said[2].decode()))
