# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for routes. All raise OSError; must not decide which route a pod should have."""

import errno
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from metacni.cni.result import Route
from metacni.netns import wire
from metacni.netns.netlink import CREATE, Netlink
from metacni.netns.wire import attribute, nested

Gateway = IPv4Address | IPv6Address
Destination = IPv4Network | IPv6Network

MAIN_TABLE: Final = 254
NOT_ON_LINK: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH)  # what IPv4 and IPv6 say of such a gateway
_NEW: Final = 24
_DELETE: Final = 25
_GET: Final = 26
_HEADER: Final = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_HOP: Final = struct.Struct("=HBBi")
_DESTINATION: Final = 1
_LINK: Final = 4
_GATEWAY: Final = 5
_PRIORITY: Final = 6
_SOURCE: Final = 7
_METRICS: Final = 8
_HOPS: Final = 9
_TABLE: Final = 15
_METRIC_MTU: Final = 2
_METRIC_ADVMSS: Final = 8
_BOOT: Final = 3  # the protocol that the reference plugins' routes have
_UNICAST: Final = 1
_LOCAL: Final = 2
_MAX_HEADER_TABLE: Final = 255
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_EVERYWHERE: Final[Mapping[int, Destination]] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
_CLONED: Final = 0x200
_ON_LINK: Final = 0x4
_REPLACE: Final = 0x100
_COPIED: Final = frozenset({_DESTINATION, 2, _LINK, _GATEWAY, _PRIORITY, _SOURCE, _METRICS, 11, 18, 20, 21, 22})
"""What makes a route: the source prefix (2), realms, a gateway of another family, preference and encapsulation, too."""
LINK_SCOPE: Final = 253
KERNEL: Final = 2
"""The protocol of the routes that the kernel makes by itself for addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A route as the kernel has it; several hops when it balances over them."""

    dst: Destination
    table: int
    hops: tuple[tuple[int, Gateway | None], ...]
    """Each hop's link, and the gateway behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A route over one link with all that makes it, so that it can stand in another table just as it is."""

    dst: Destination
    gateway: Gateway | None
    source: Gateway | None
    """The address that the pod speaks from when nothing else says so."""
    scope: int
    protocol: int
    header: bytes
    attributes: bytes
    """Without the table's."""

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.dst.version

    @property
    def local(self) -> bool:
        """Whether what it leads to is the pod itself."""
        return self.header[7] == _LOCAL


def add(netlink: Netlink, index: int, route: Route, gateway: Gateway | None) -> None:
    """Add a route over a link. FileExistsError: the very same stands there (E9)."""
    table = MAIN_TABLE if route.table is None else route.table
    family = _FAMILY[route.dst.version]
    header = _HEADER.pack(
        family, route.dst.prefixlen, 0, 0, min(table, _MAX_HEADER_TABLE) if table <= _MAX_HEADER_TABLE else 0,
        _BOOT, route.scope or 0, _UNICAST, 0,
    )  # fmt: skip
    parts = [attribute(_LINK, index)]
    if route.dst.prefixlen:
        parts.append(attribute(_DESTINATION, route.dst.network_address.packed))
    if gateway is not None:
        parts.append(attribute(_GATEWAY, gateway.packed))
    if route.priority:
        parts.append(attribute(_PRIORITY, route.priority))
    if table > _MAX_HEADER_TABLE:
        parts.append(attribute(_TABLE, table))
    metrics = [
        attribute(kind, value)
        for kind, value in ((_METRIC_MTU, route.mtu), (_METRIC_ADVMSS, route.advmss))
        if value
    ]  # fmt: skip
    if metrics:
        parts.append(nested(_METRICS, *metrics))
    netlink.change(_NEW, header + b"".join(parts), CREATE)


def every(netlink: Netlink, family: int) -> Sequence[Standing]:
    """The unicast routes of a family (4 or 6), of all tables."""
    request = _HEADER.pack(_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0)
    return [route for body in netlink.dump(_GET, request) for route in _standing(body, family)]


def over(netlink: Netlink, index: int, table: int = MAIN_TABLE) -> Sequence[Whole]:
    """The routes of a table over one link alone, of both families; those on the link first: they lead to gateways."""
    found = []
    for family in _FAMILY:
        for body in netlink.dump(_GET, _HEADER.pack(_FAMILY[family], 0, 0, 0, 0, 0, 0, 0, 0)):
            kind, _, _, _, its, _, _, _, flags = _HEADER.unpack_from(body)
            values = wire.attributes(body, _HEADER.size)
            there = wire.number(values.get(_TABLE), its) == table and wire.number(values.get(_LINK)) == index
            if kind == _FAMILY[family] and there and not flags & _CLONED:
                found.append(_whole(body, values, family))
    return sorted(found, key=lambda route: route.gateway is not None)


def put(netlink: Netlink, route: Whole, table: int = MAIN_TABLE) -> None:
    """Have a route stand in a table, in the place of one to the same destination."""
    netlink.change(_NEW, _moved(route, table), CREATE | _REPLACE)


def remove(netlink: Netlink, route: Whole, table: int = MAIN_TABLE) -> None:
    """Take a route out of a table; one that is gone is fine."""
    try:
        netlink.change(_DELETE, _moved(route, table))
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENOENT):
            raise


def _whole(body: bytes, values: wire.Attributes, family: int) -> Whole:
    _, length, _, _, _, protocol, scope, _, _ = _HEADER.unpack_from(body)
    source = values.get(_SOURCE)
    return Whole(
        dst=_network(values, length, family),
        gateway=_gateway(values),
        source=ip_address(source) if source else None,
        scope=scope,
        protocol=protocol,
        header=body[: _HEADER.size],
        attributes=b"".join(attribute(number, value) for number, value in values.items() if number in _COPIED),
    )


def hinted(index: int, network: Destination, source: Gateway) -> Whole:
    """A route to what is on the link, from this address."""
    header = _HEADER.pack(_FAMILY[network.version], network.prefixlen, 0, 0, 0, _BOOT, LINK_SCOPE, _UNICAST, 0)
    parts = attribute(_DESTINATION, network.network_address.packed) if network.prefixlen else b""
    parts += attribute(_LINK, index) + attribute(_SOURCE, source.packed)
    return Whole(
        dst=network, gateway=None, source=source, scope=LINK_SCOPE, protocol=_BOOT, header=header, attributes=parts
    )  # fmt: skip


def default(index: int, gateway: Gateway) -> Whole:
    """A route to everywhere."""
    header = _HEADER.pack(_FAMILY[gateway.version], 0, 0, 0, 0, _BOOT, 0, _UNICAST, 0)
    parts = attribute(_LINK, index) + attribute(_GATEWAY, gateway.packed)
    everywhere = _EVERYWHERE[gateway.version]
    return Whole(
        dst=everywhere, gateway=gateway, source=None, scope=0, protocol=_BOOT, header=header, attributes=parts
    )  # fmt: skip


def tables(netlink: Netlink) -> frozenset[int]:
    """The tables in which there is any route of any family."""
    found = set()
    for family in _FAMILY.values():
        for body in netlink.dump(_GET, _HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            values = wire.attributes(body, _HEADER.size)
            found.add(wire.number(values.get(_TABLE), _HEADER.unpack_from(body)[4]))
    return frozenset(found)


def _moved(route: Whole, table: int) -> bytes:
    family, length, source, tos, _, protocol, scope, sort, flags = _HEADER.unpack(route.header)
    header = _HEADER.pack(
        family, length, source, tos, table if table <= _MAX_HEADER_TABLE else 0, protocol, scope, sort, flags & _ON_LINK
    )  # fmt: skip - of the flags the others tell what became of the route
    return header + route.attributes + attribute(_TABLE, table)


def _standing(body: bytes, family: int) -> Iterator[Standing]:
    kind, length, _, _, table, _, _, sort, flags = _HEADER.unpack_from(body)
    if kind != _FAMILY[family] or sort != _UNICAST or flags & _CLONED:
        return
    values = wire.attributes(body, _HEADER.size)
    hops = tuple(_hops(values[_HOPS])) if _HOPS in values else ((wire.number(values.get(_LINK)), _gateway(values)),)
    yield Standing(dst=_network(values, length, family), table=wire.number(values.get(_TABLE), table), hops=hops)


def _network(values: wire.Attributes, length: int, family: int) -> Destination:
    packed = values.get(_DESTINATION, bytes(4 if family == 4 else 16))  # noqa: PLR2004 - IPv4
    network = IPv4Network if family == 4 else IPv6Network  # noqa: PLR2004 - likewise
    return network((packed, length))


def _hops(data: bytes) -> Iterator[tuple[int, Gateway | None]]:
    at = 0
    while len(data) - at >= _HOP.size:
        length, _, _, index = _HOP.unpack_from(data, at)
        if not _HOP.size <= length <= len(data) - at:
            return
        yield index, _gateway(wire.attributes(data[at : at + length], _HOP.size))
        at += (length + 3) & ~3


def _gateway(values: wire.Attributes) -> Gateway | None:
    packed = values.get(_GATEWAY)
    return ip_address(packed) if packed else None
