# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for routes over one link that say from which address, and for those that an address brings along.

Each stands once or not at all: where `routes.add` appends, this refuses. All raise OSError; must not decide which.
"""

import socket
import struct
from typing import Final

from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.routes import MAIN_TABLE, Destination, Gateway
from metacni.netns.wire import attribute

EVERYWHERE: Final = 0
LINK: Final = 253
HOST: Final = 254

_NEW: Final = 24
_DELETE: Final = 25
_HEADER: Final = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_DESTINATION: Final = 1
_LINK: Final = 4
_GATEWAY: Final = 5
_SOURCE: Final = 7
_KERNEL: Final = 2  # the protocol of routes that come with an address
_BOOT: Final = 3
_UNICAST: Final = 1
_NOWHERE: Final = 255  # a deletion matches any scope
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


def add(
    netlink: Netlink,
    index: int,
    dst: Destination,
    *,
    scope: int = EVERYWHERE,
    gateway: Gateway | None = None,
    source: Gateway | None = None,
) -> None:
    """A route in the main table. FileExistsError: there is one to this destination, over whatever link.

    Args:
        netlink: a handle.
        index: of the link.
        dst: where to.
        scope: IPv4's; IPv6 has none.
        gateway: the next hop, which a route must reach already.
        source: the address that the node speaks from, which must be usable already.
    """
    header = _HEADER.pack(_FAMILY[dst.version], dst.prefixlen, 0, 0, MAIN_TABLE, _BOOT, scope, _UNICAST, 0)
    parts = [attribute(_LINK, index), attribute(_DESTINATION, dst.network_address.packed)]
    if gateway is not None:
        parts.append(attribute(_GATEWAY, gateway.packed))
    if source is not None:
        parts.append(attribute(_SOURCE, source.packed))
    netlink.change(_NEW, header + b"".join(parts), CREATE | EXCLUSIVE)


def delete_connected(netlink: Netlink, index: int, dst: Destination) -> None:
    """Take away the route that came with an address. ProcessLookupError: there is none."""
    header = _HEADER.pack(_FAMILY[dst.version], dst.prefixlen, 0, 0, MAIN_TABLE, _KERNEL, _NOWHERE, 0, 0)
    body = attribute(_LINK, index) + attribute(_DESTINATION, dst.network_address.packed)
    netlink.change(_DELETE, header + body)
