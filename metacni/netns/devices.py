# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for links, each one message. All raise OSError; must not decide which link, or undo anything."""

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metacni.netns import wire
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute, nested

NEW_LINK: Final = 16
DELETE_LINK: Final = 17
GET_LINK: Final = 18
SET_LINK: Final = 19
HEADER: Final = struct.Struct("=BxHiII")  # family, hardware type, index, flags, mask of the flags that change

ADDRESS: Final = 1
NAME: Final = 3
MTU: Final = 4
PEER: Final = 5
MASTER: Final = 10
OPERATIONAL: Final = 16
INFO: Final = 18
ALIAS: Final = 20
GROUP: Final = 27
NETNS_FD: Final = 28
FILTER: Final = 29
PROPERTIES: Final = 52
OTHER_NAME: Final = 53
INFO_KIND: Final = 1
INFO_DATA: Final = 2
PORT_KIND: Final = 4
PORT_DATA: Final = 5
VETH_PEER: Final = 1
PORT_HAIRPIN: Final = 4
BRIDGE_FILTERING: Final = 7

MAX_NAME: Final = 15  # bytes
MAX_ALIAS: Final = 255  # likewise
UP: Final = 0x1
PROMISCUOUS: Final = 0x100
_OPERATIONAL_UP: Final = 6
_SKIP_STATISTICS: Final = attribute(FILTER, 8)  # most of a link's message, and unused here


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A link as the kernel describes it."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    flags: int
    operational: bool
    master: int
    peer: int
    """The index of a veth's other end, in that one's namespace."""
    group: int
    alias: str
    hairpin: bool
    other_names: tuple[str, ...] = ()
    """Alternative ones, by which it can be found as well."""

    @property
    def up(self) -> bool:
        """Whether it was switched on."""
        return bool(self.flags & UP)

    @property
    def promiscuous(self) -> bool:
        """Whether somebody asked for it by the link's flag; a running tcpdump does not show here."""
        return bool(self.flags & PROMISCUOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Veth:
    """A cable between the node and a pod, before it is made."""

    host_name: str
    pod_name: str
    netns_fd: int
    group: int = 0
    """Of the pod's end alone: it is what the pod's links are deleted by, together."""
    master: int = 0
    mtu: int = 0
    """0 is the kernel's choice."""
    mac: str = ""
    """Of the pod's end; empty is the kernel's choice."""
    host_mac: str = ""
    """Of the near end, likewise: one of the kernel's choice udev may change, in its own time."""


def find(netlink: Netlink, name: str) -> Device | None:
    """The link that has that name, be it an alternative one; None if there is none."""
    kind = NAME if len(name.encode()) <= MAX_NAME else OTHER_NAME
    return _get(netlink, HEADER.pack(0, 0, 0, 0, 0) + attribute(kind, name) + _SKIP_STATISTICS)


def at(netlink: Netlink, index: int) -> Device | None:
    """The link of that index, None if there is none."""
    return _get(netlink, HEADER.pack(0, 0, index, 0, 0) + _SKIP_STATISTICS)


def every(netlink: Netlink) -> Sequence[Device]:
    """All links of the namespace."""
    return [_device(body) for body in netlink.dump(GET_LINK, HEADER.pack(0, 0, 0, 0, 0) + _SKIP_STATISTICS)]


def create_bridge(netlink: Netlink, name: str, mtu: int, *, mac: str = "", filtering: bool = False) -> None:
    """A bridge that is up and looks at VLANs or not; FileExistsError: the name is taken.

    One with a MAC keeps that, any other takes the lowest of its ports', and changes it as they come and go.
    """
    kind = [attribute(INFO_KIND, b"bridge")]
    if filtering:
        kind.append(nested(INFO_DATA, attribute(BRIDGE_FILTERING, b"\1")))
    parts = [attribute(NAME, name), nested(INFO, *kind)]
    if mtu:
        parts.append(attribute(MTU, mtu))
    if mac:
        parts.append(attribute(ADDRESS, bytes.fromhex(mac.replace(":", ""))))
    netlink.change(NEW_LINK, HEADER.pack(0, 0, 0, UP, UP) + b"".join(parts), CREATE | EXCLUSIVE)


def create_veth(netlink: Netlink, veth: Veth) -> None:
    """Both ends at once, the far one made inside the pod, the near one up and in its bridge.

    FileExistsError: one of the two names is taken.
    """
    near = [attribute(NAME, veth.host_name)]
    far = [attribute(NAME, veth.pod_name), attribute(NETNS_FD, veth.netns_fd)]
    if veth.group:
        far.append(attribute(GROUP, veth.group))
    if veth.mtu:
        near.append(attribute(MTU, veth.mtu))
        far.append(attribute(MTU, veth.mtu))
    if veth.mac:
        far.append(attribute(ADDRESS, bytes.fromhex(veth.mac.replace(":", ""))))
    if veth.host_mac:
        near.append(attribute(ADDRESS, bytes.fromhex(veth.host_mac.replace(":", ""))))
    if veth.master:
        near.append(attribute(MASTER, veth.master))
    peer = HEADER.pack(0, 0, 0, 0, 0) + b"".join(far)
    kind = nested(INFO, attribute(INFO_KIND, b"veth"), nested(INFO_DATA, attribute(VETH_PEER, peer)))
    netlink.change(NEW_LINK, HEADER.pack(0, 0, 0, UP, UP) + b"".join(near) + kind, CREATE | EXCLUSIVE)


def bring_up(netlink: Netlink, index: int) -> None:
    """Switch a link on."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, UP, UP))


def set_promiscuous(netlink: Netlink, index: int) -> None:
    """Make a link take every frame."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, PROMISCUOUS, PROMISCUOUS))


def set_mac(netlink: Netlink, index: int, mac: str) -> None:
    """Give a link a MAC; a bridge then keeps it, whichever ports come and go."""
    value = attribute(ADDRESS, bytes.fromhex(mac.replace(":", "")))
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + value)


def set_alias(netlink: Netlink, index: int, alias: str) -> None:
    """Write a remark to a link, which people see in `ip link`."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + attribute(ALIAS, alias.encode()))


def delete(netlink: Netlink, index: int) -> bool:
    """Delete a link, and the other end of a veth; False when it was gone."""
    try:
        netlink.change(DELETE_LINK, HEADER.pack(0, 0, index, 0, 0))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def delete_group(netlink: Netlink, group: int) -> None:
    """Delete all links of a group at once; what this needs to be safe stands in `groups`."""
    netlink.change(DELETE_LINK, HEADER.pack(0, 0, 0, 0, 0) + attribute(GROUP, group))


def _get(netlink: Netlink, request: bytes) -> Device | None:
    try:
        return _device(netlink.get(GET_LINK, request))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None


def _device(body: bytes) -> Device:
    _, _, index, flags, _ = HEADER.unpack_from(body)
    found = wire.attributes(body, HEADER.size)
    info = wire.attributes(found.get(INFO, b""))
    port = wire.attributes(info.get(PORT_DATA, b""))
    return Device(
        index=index,
        name=wire.text(found.get(NAME)),
        kind=wire.text(info.get(INFO_KIND)),
        mac=found.get(ADDRESS, b"").hex(":"),
        mtu=wire.number(found.get(MTU)),
        flags=flags,
        operational=found.get(OPERATIONAL) == bytes([_OPERATIONAL_UP]),
        master=wire.number(found.get(MASTER)),
        peer=wire.number(found.get(PEER)),
        group=wire.number(found.get(GROUP)),
        alias=wire.text(found.get(ALIAS)),
        hairpin=port.get(PORT_HAIRPIN, b"\0") != b"\0",
        other_names=tuple(
            wire.text(value) for kind, value in wire.listed(found.get(PROPERTIES, b"")) if kind == OTHER_NAME
        ),
    )
