# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for links that stand on another link, and for dummies: made in one message, and told apart again.

All raise OSError; must not decide what a link stands on, or undo anything.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from metacni.netns import wire
from metacni.netns.devices import (
    ADDRESS,
    FILTER,
    GET_LINK,
    GROUP,
    HEADER,
    INFO,
    INFO_DATA,
    INFO_KIND,
    MTU,
    NAME,
    NETNS_FD,
    NEW_LINK,
)
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute, nested

MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES: Final = {"l2": 0, "l3": 1, "l3s": 2}

_LOWER: Final = 5
_MACVLAN_MODE: Final = 1
_MACVLAN_QUEUE: Final = 7
_IPVLAN_MODE: Final = 1
_VLAN_ID: Final = 1
_U16: Final = struct.Struct("=H")
_SKIP_STATISTICS: Final = attribute(FILTER, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Macvlan:
    """A link with a MAC of its own."""

    mode: str = "bridge"
    queue: int = field(default=0, compare=False)
    """How many multicast frames may wait; 0 is the kernel's choice. The kernel has one queue for all of a master."""

    def __str__(self) -> str:
        return f"macvlan in mode {self.mode!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipvlan:
    """A link with its master's MAC and IP addresses of its own."""

    mode: str = "l2"

    def __str__(self) -> str:
        return f"ipvlan in mode {self.mode!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlan:
    """A VLAN of its master."""

    identifier: int

    def __str__(self) -> str:
        return f"vlan {self.identifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dummy:
    """A link that leads nowhere."""

    def __str__(self) -> str:
        return "dummy"


Kind = Macvlan | Ipvlan | Vlan | Dummy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A link, before it is made."""

    kind: Kind
    name: str
    lower: int = 0
    """The index of what it stands on, in the namespace of the handle."""
    netns_fd: int | None = None
    """Where it is made; None is the namespace of the handle."""
    group: int = 0
    mtu: int = 0
    """0 is the kernel's choice."""
    mac: str = ""
    """Empty is the kernel's choice."""


def create(netlink: Netlink, plan: Plan) -> None:
    """Make it, down.

    FileExistsError: the name is taken, before Linux 6.15 also by a link beside the lower one; or it has that VLAN.
    """
    parts = [attribute(NAME, plan.name)]
    if plan.lower:
        parts.append(attribute(_LOWER, plan.lower))
    if plan.netns_fd is not None:
        parts.append(attribute(NETNS_FD, plan.netns_fd))
    if plan.group:
        parts.append(attribute(GROUP, plan.group))
    if plan.mtu:
        parts.append(attribute(MTU, plan.mtu))
    if plan.mac:
        parts.append(attribute(ADDRESS, bytes.fromhex(plan.mac.replace(":", ""))))
    parts.append(nested(INFO, *_packed(plan.kind)))
    netlink.change(NEW_LINK, HEADER.pack(0, 0, 0, 0, 0) + b"".join(parts), CREATE | EXCLUSIVE)


def of(netlink: Netlink, index: int) -> Kind | None:
    """The kind of a link; None when it is none of these."""
    body = netlink.get(GET_LINK, HEADER.pack(0, 0, index, 0, 0) + _SKIP_STATISTICS)
    info = wire.attributes(wire.attributes(body, HEADER.size).get(INFO, b""))
    data = wire.attributes(info.get(INFO_DATA, b""))
    match wire.text(info.get(INFO_KIND)):
        case "macvlan":
            queue = wire.number(data.get(_MACVLAN_QUEUE))
            return Macvlan(mode=_named(MACVLAN_MODES, wire.number(data.get(_MACVLAN_MODE))), queue=queue)
        case "ipvlan":
            return Ipvlan(mode=_named(IPVLAN_MODES, _short(data.get(_IPVLAN_MODE))))
        case "vlan":
            return Vlan(identifier=_short(data.get(_VLAN_ID)))
        case "dummy":
            return Dummy()
    return None


def _packed(kind: Kind) -> tuple[bytes, ...]:
    match kind:
        case Macvlan(mode=mode, queue=queue):
            data = attribute(_MACVLAN_MODE, MACVLAN_MODES[mode])
            if queue:
                data += attribute(_MACVLAN_QUEUE, queue)
            return attribute(INFO_KIND, b"macvlan"), nested(INFO_DATA, data)
        case Ipvlan(mode=mode):
            data = attribute(_IPVLAN_MODE, _U16.pack(IPVLAN_MODES[mode]))
            return attribute(INFO_KIND, b"ipvlan"), nested(INFO_DATA, data)
        case Vlan(identifier=identifier):
            return attribute(INFO_KIND, b"vlan"), nested(INFO_DATA, attribute(_VLAN_ID, _U16.pack(identifier)))
        case Dummy():
            return (attribute(INFO_KIND, b"dummy"),)


def _named(modes: dict[str, int], number: int) -> str:
    return next((name for name, value in modes.items() if value == number), str(number))


def _short(value: bytes | None) -> int:
    found: int = _U16.unpack(value)[0] if value is not None and len(value) == _U16.size else 0
    return found
