# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for routing rules. All raise OSError; must not decide which rule a pod should have."""

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from metacni.netns import wire
from metacni.netns.netlink import CREATE, EXCLUSIVE, Netlink
from metacni.netns.wire import attribute

Source = IPv4Address | IPv6Address

_NEW: Final = 32
_DELETE: Final = 33
_GET: Final = 34
_HEADER: Final = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, two reserved, action, flags
_SOURCE: Final = 2
_TABLE: Final = 15
_TO_TABLE: Final = 1
_MAX_HEADER_TABLE: Final = 255
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as the kernel has it."""

    source: Source | None
    """The address, or the start of the subnet, that it is about; None when it is about every one."""
    exact: bool
    """Whether it is about that address alone."""
    table: int
    body: bytes
    """All of it."""


def add(netlink: Netlink, source: Source, table: int) -> None:
    """Have packets from this address ask this table, before the older rules; the same rule may be there already."""
    netlink.change(_NEW, _rule(source, table), CREATE | EXCLUSIVE)


def delete(netlink: Netlink, rule: Rule) -> None:
    """Delete this very rule; one that is gone is fine."""
    try:
        netlink.change(_DELETE, rule.body)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise


def put_back(netlink: Netlink, rule: Rule) -> None:
    """Have a deleted rule again, in its old place. FileExistsError: it is there."""
    netlink.change(_NEW, rule.body, CREATE | EXCLUSIVE)


def made(source: Source, table: int) -> Rule:
    """The rule that `add` makes."""
    return Rule(source=source, exact=True, table=table, body=_rule(source, table))


def every(netlink: Netlink) -> Sequence[Rule]:
    """All rules of both families."""
    return [
        _read(body)
        for family in _FAMILY.values()
        for body in netlink.dump(_GET, _HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))
    ]


def _rule(source: Source, table: int) -> bytes:
    header = _HEADER.pack(
        _FAMILY[source.version], 0, source.max_prefixlen, 0, table if table <= _MAX_HEADER_TABLE else 0,
        0, 0, _TO_TABLE, 0,
    )  # fmt: skip
    return header + attribute(_SOURCE, source.packed) + attribute(_TABLE, table)


def _read(body: bytes) -> Rule:
    _, _, length, _, table, _, _, _, _ = _HEADER.unpack_from(body)
    values = wire.attributes(body, _HEADER.size)
    packed = values.get(_SOURCE)
    source = ip_address(packed) if packed else None
    return Rule(
        source=source,
        exact=source is not None and length == source.max_prefixlen,
        table=wire.number(values.get(_TABLE), table),
        body=body,
    )
