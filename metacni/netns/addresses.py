# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for addresses. All raise OSError; must not decide which address a link should have."""

import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from metacni.netns import wire
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute

Prefixed = IPv4Interface | IPv6Interface

_NEW: Final = 20
_DELETE: Final = 21
_GET: Final = 22
_HEADER: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index of the link
_ADDRESS: Final = 1
_LOCAL: Final = 2
_BROADCAST: Final = 4
_FLAGS: Final = 8
_NO_DAD: Final = 0x2
_DAD_FAILED: Final = 0x8
_TENTATIVE: Final = 0x40
_POINT_TO_POINT: Final = 31  # an IPv4 prefix that long has no broadcast address
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


def add(netlink: Netlink, index: int, address: Prefixed, *, detect_duplicates: bool) -> None:
    """Give a link an address. FileExistsError: it has it.

    Without the detection of duplicates (IPv6's only) it is usable at once.
    """
    flags = _NO_DAD if address.version == 6 and not detect_duplicates else 0  # noqa: PLR2004 - IPv6
    parts = _parts(address)
    if isinstance(address, IPv4Interface) and address.network.prefixlen < _POINT_TO_POINT:
        parts += attribute(_BROADCAST, address.network.broadcast_address.packed)
    netlink.change(_NEW, _header(index, address, flags) + parts, CREATE | EXCLUSIVE)


def delete(netlink: Netlink, index: int, address: Prefixed) -> None:
    """Take an address from a link."""
    netlink.change(_DELETE, _header(index, address) + _parts(address))


def of(netlink: Netlink, index: int, family: int) -> Sequence[Prefixed]:
    """The addresses of one family (4 or 6) that a link has."""
    return [address for address, _ in _listed(netlink, index, family)]


def duplicate_detection(netlink: Netlink, index: int) -> tuple[Sequence[Prefixed], Sequence[Prefixed]]:
    """The IPv6 addresses of a link that somebody else has, and those of which it is not known yet."""
    listed = list(_listed(netlink, index, 6))
    failed = [address for address, flags in listed if flags & _DAD_FAILED]
    return failed, [address for address, flags in listed if flags & _TENTATIVE and not flags & _DAD_FAILED]


def _listed(netlink: Netlink, index: int, family: int) -> Iterator[tuple[Prefixed, int]]:
    for body in netlink.dump(_GET, _HEADER.pack(_FAMILY[family], 0, 0, 0, index)):
        kind, prefix, flags, _, its = _HEADER.unpack_from(body)
        if its != index or kind != _FAMILY[family]:  # an old kernel lists those of all links
            continue
        values = wire.attributes(body, _HEADER.size)
        packed = values.get(_LOCAL) or values.get(_ADDRESS, b"")
        made = IPv4Interface if family == 4 else IPv6Interface  # noqa: PLR2004 - IPv4
        yield made((packed, prefix)), wire.number(values.get(_FLAGS), flags)


def _header(index: int, address: Prefixed, flags: int = 0) -> bytes:
    return _HEADER.pack(_FAMILY[address.version], address.network.prefixlen, flags, 0, index)


def _parts(address: Prefixed) -> bytes:
    packed = address.ip.packed
    return attribute(_LOCAL, packed) + attribute(_ADDRESS, packed)
