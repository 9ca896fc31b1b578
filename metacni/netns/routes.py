# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for routes. All raise OSError; must not decide which route a pod should have."""

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
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
_GET: Final = 26
_HEADER: Final = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_HOP: Final = struct.Struct("=HBBi")
_DESTINATION: Final = 1
_LINK: Final = 4
_GATEWAY: Final = 5
_PRIORITY: Final = 6
_METRICS: Final = 8
_HOPS: Final = 9
_TABLE: Final = 15
_METRIC_MTU: Final = 2
_METRIC_ADVMSS: Final = 8
_BOOT: Final = 3  # the protocol that the reference plugins' routes have
_UNICAST: Final = 1
_MAX_HEADER_TABLE: Final = 255
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_CLONED: Final = 0x200


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A route as the kernel has it; several hops when it balances over them."""

    dst: Destination
    table: int
    hops: tuple[tuple[int, Gateway | None], ...]
    """Each hop's link, and the gateway behind it."""


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


def _standing(body: bytes, family: int) -> Iterator[Standing]:
    kind, length, _, _, table, _, _, sort, flags = _HEADER.unpack_from(body)
    if kind != _FAMILY[family] or sort != _UNICAST or flags & _CLONED:
        return
    values = wire.attributes(body, _HEADER.size)
    packed = values.get(_DESTINATION, bytes(4 if family == 4 else 16))  # noqa: PLR2004 - IPv4
    network = IPv4Network if family == 4 else IPv6Network  # noqa: PLR2004 - likewise
    hops = tuple(_hops(values[_HOPS])) if _HOPS in values else ((wire.number(values.get(_LINK)), _gateway(values)),)
    yield Standing(dst=network((packed, length)), table=wire.number(values.get(_TABLE), table), hops=hops)


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
