# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for a bridge's ports and their VLANs. All raise OSError; must not decide what a port may do."""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from metacni.netns.devices import (
    ADDRESS,
    DELETE_LINK,
    HEADER,
    INFO,
    INFO_DATA,
    INFO_KIND,
    MASTER,
    MTU,
    NAME,
    NEW_LINK,
    PORT_DATA,
    PORT_HAIRPIN,
    PORT_KIND,
    SET_LINK,
    UP,
    VETH_PEER,
)
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute, nested

VLANS: Final = range(1, 4095)

_ISOLATED: Final = 33
_FAMILY_DATA: Final = 26
_VLAN: Final = 2
_VLAN_INFO: Final = struct.Struct("=HH")  # flags, id
_NATIVE: Final = 0x2 | 0x4  # what comes without a tag is of it, and what is of it leaves without
_FIRST: Final = 0x8
_LAST: Final = 0x10


def tune_port(netlink: Netlink, index: int, *, hairpin: bool, isolated: bool) -> None:
    """Let a port send frames back where they came from; let it speak with the bridge and ports not isolated only."""
    wanted = ((PORT_HAIRPIN, hairpin), (_ISOLATED, isolated))
    data = nested(PORT_DATA, *(attribute(kind, bytes([value])) for kind, value in wanted))
    netlink.change(NEW_LINK, HEADER.pack(0, 0, index, 0, 0) + nested(INFO, attribute(PORT_KIND, b"bridge"), data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A cable with both ends on the node, before it is made: a port of a bridge, and the node's own leg there."""

    port_name: str
    name: str
    bridge: int
    mtu: int
    port_mac: str
    mac: str


def create_leg(netlink: Netlink, leg: Leg) -> None:
    """Both ends at once, the port up, the other not, since it comes first. FileExistsError: a name is taken."""
    far = HEADER.pack(0, 0, 0, 0, 0) + _end(leg.name, leg.mac, leg.mtu)
    kind = nested(INFO, attribute(INFO_KIND, b"veth"), nested(INFO_DATA, attribute(VETH_PEER, far)))
    near = HEADER.pack(0, 0, 0, UP, UP) + _end(leg.port_name, leg.port_mac, leg.mtu) + attribute(MASTER, leg.bridge)
    netlink.change(NEW_LINK, near + kind, CREATE | EXCLUSIVE)


def add_native_vlan(netlink: Netlink, index: int, vlan: int) -> None:
    """Have a port's frames without a tag be of this VLAN, both ways."""
    _change_vlans(netlink, SET_LINK, index, [_info(vlan, _NATIVE)])


def add_vlans(netlink: Netlink, index: int, vlans: Iterable[int]) -> None:
    """Have a port carry these VLANs, tagged."""
    _change_vlans(netlink, SET_LINK, index, [entry for first, last in _runs(vlans) for entry in _range(first, last)])


def remove_vlans(netlink: Netlink, index: int) -> None:
    """Have a port carry no VLAN at all, not even the one that each port begins with."""
    _change_vlans(netlink, DELETE_LINK, index, _range(VLANS[0], VLANS[-1]))


def _end(name: str, mac: str, mtu: int) -> bytes:
    return attribute(NAME, name) + attribute(ADDRESS, bytes.fromhex(mac.replace(":", ""))) + attribute(MTU, mtu)


def _change_vlans(netlink: Netlink, verb: int, index: int, entries: Sequence[bytes]) -> None:
    netlink.change(verb, HEADER.pack(socket.AF_BRIDGE, 0, index, 0, 0) + nested(_FAMILY_DATA, *entries))


def _runs(vlans: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbours together: one entry for each of 4,094 would be slow."""
    first = last = 0
    for vlan in sorted(vlans):
        if first and vlan != last + 1:
            yield first, last
        if not first or vlan != last + 1:
            first = vlan
        last = vlan
    if first:
        yield first, last


def _range(first: int, last: int) -> Sequence[bytes]:
    return [_info(first)] if first == last else [_info(first, _FIRST), _info(last, _LAST)]


def _info(vlan: int, flags: int = 0) -> bytes:
    return attribute(_VLAN, _VLAN_INFO.pack(flags, vlan))
