# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for what can be changed of any link. All raise OSError; must not decide what one should be like.

The MAC's is `devices.set_mac`.
"""

import errno
from dataclasses import dataclass
from typing import Final

from metacni.netns import wire
from metacni.netns.devices import ADDRESS, FILTER, GET_LINK, HEADER, MTU, NAME, PROMISCUOUS, SET_LINK
from metacni.netns.netlink import Netlink
from metacni.netns.wire import attribute

QUEUE: Final = 13
ALL_MULTICAST: Final = 0x200
_SKIP_STATISTICS: Final = attribute(FILTER, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """A link's, as the kernel tells them."""

    index: int
    mac: str
    mtu: int
    promiscuous: bool
    """Whether somebody asked for it by the link's flag; a running tcpdump does not show here."""
    all_multicast: bool
    """Likewise."""
    queue: int
    """How many packets wait for transmission at most."""


def find(netlink: Netlink, name: str) -> Properties | None:
    """Those of the link of that name, None if there is none."""
    try:
        body = netlink.get(GET_LINK, HEADER.pack(0, 0, 0, 0, 0) + attribute(NAME, name) + _SKIP_STATISTICS)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None
    _, _, index, flags, _ = HEADER.unpack_from(body)
    found = wire.attributes(body, HEADER.size)
    return Properties(
        index=index,
        mac=found.get(ADDRESS, b"").hex(":"),
        mtu=wire.number(found.get(MTU)),
        promiscuous=bool(flags & PROMISCUOUS),
        all_multicast=bool(flags & ALL_MULTICAST),
        queue=wire.number(found.get(QUEUE)),
    )


def set_mtu(netlink: Netlink, index: int, mtu: int) -> None:
    """The largest packet."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + attribute(MTU, mtu))


def set_queue(netlink: Netlink, index: int, packets: int) -> None:
    """How many packets wait for transmission at most."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + attribute(QUEUE, packets))


def set_promiscuous(netlink: Netlink, index: int, *, on: bool) -> None:
    """Have a link take every frame, or only its own."""
    _set_flag(netlink, index, PROMISCUOUS, on=on)


def set_all_multicast(netlink: Netlink, index: int, *, on: bool) -> None:
    """Have a link take every multicast frame, or only those of its groups."""
    _set_flag(netlink, index, ALL_MULTICAST, on=on)


def _set_flag(netlink: Netlink, index: int, flag: int, *, on: bool) -> None:
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, flag if on else 0, flag))
