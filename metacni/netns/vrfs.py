# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for VRFs, links that have a routing table for their ports. All raise OSError.

Must not decide which VRF an interface should be in, nor what becomes of its routes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metacni.netns import wire
from metacni.netns.devices import (
    FILTER,
    GET_LINK,
    HEADER,
    INFO,
    INFO_DATA,
    INFO_KIND,
    MASTER,
    NAME,
    NEW_LINK,
    SET_LINK,
    UP,
)
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute, nested

KIND: Final = "vrf"
_TABLE: Final = 1
_SKIP_STATISTICS: Final = attribute(FILTER, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as far as VRFs are concerned."""

    index: int
    name: str
    master: int
    """The link that it is a port of, 0 if there is none."""
    table: int | None
    """A VRF's routing table; None of any other kind."""


def every(netlink: Netlink) -> Sequence[Link]:
    """All links of the namespace."""
    return [_link(body) for body in netlink.dump(GET_LINK, HEADER.pack(0, 0, 0, 0, 0) + _SKIP_STATISTICS)]


def create(netlink: Netlink, name: str, table: int) -> None:
    """A VRF that is up; FileExistsError: the name is taken."""
    kind = nested(INFO, attribute(INFO_KIND, KIND.encode()), nested(INFO_DATA, attribute(_TABLE, table)))
    netlink.change(NEW_LINK, HEADER.pack(0, 0, 0, UP, UP) + attribute(NAME, name) + kind, CREATE | EXCLUSIVE)


def set_master(netlink: Netlink, index: int, master: int) -> None:
    """Make a link the port of another, or with 0 of none; its routes go, and IPv6 addresses may."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + attribute(MASTER, master))


def _link(body: bytes) -> Link:
    found = wire.attributes(body, HEADER.size)
    info = wire.attributes(found.get(INFO, b""))
    data = wire.attributes(info.get(INFO_DATA, b""))
    return Link(
        index=HEADER.unpack_from(body)[2],
        name=wire.text(found.get(NAME)),
        master=wire.number(found.get(MASTER)),
        table=wire.number(data.get(_TABLE)) if wire.text(info.get(INFO_KIND)) == KIND else None,
    )
