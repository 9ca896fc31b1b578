# SPDX-License-Identifier: Apache-2.0
"""Ranges of addresses and sets of ranges, out of a configuration and proven sound (F1-F5). Pure.

A set is the pool that one address is taken from; its ranges may lie in several subnets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from delegates import _text
from delegates._text import Ip, Network
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe

KEYS: Final = frozenset({"subnet", "rangestart", "rangeend", "gateway"})
_HOST_BITS: Final = 2  # the fewest a subnet must have


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Addresses from `start` to `end`, both included, without the gateway."""

    subnet: Network
    start: Ip
    end: Ip
    gateway: Ip

    def __contains__(self, address: Ip) -> bool:
        return address.version == self.subnet.version and int(self.start) <= int(address) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    @property
    def size(self) -> int:
        """How many addresses it has to give."""
        return max(0, int(self.end) - int(self.start) + 1 - (self.gateway in self))

    def overlaps(self, other: "Range") -> bool:
        """Whether an address is in both."""
        same = self.subnet.version == other.subnet.version
        return same and int(self.start) <= int(other.end) and int(other.start) <= int(self.end)


@dataclass(frozen=True, slots=True)
class RangeSet:
    """The pool of one address."""

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))

    def __contains__(self, address: Ip) -> bool:
        return self.of(address) is not None

    @property
    def version(self) -> int:
        """The family of its addresses, 4 or 6."""
        return self.ranges[0].subnet.version

    @property
    def size(self) -> int:
        """How many addresses it has to give."""
        return sum(item.size for item in self.ranges)

    def of(self, address: Ip) -> Range | None:
        """The range that an address lies in."""
        return next((item for item in self.ranges if address in item), None)

    def overlaps(self, other: "RangeSet") -> bool:
        """Whether an address is in both."""
        return any(one.overlaps(two) for one in self.ranges for two in other.ranges)


def parse(ipam: Mapping[str, Json], at_run_time: Sequence[Json]) -> tuple[RangeSet, ...]:
    """All sets in their order: those given at run time, the old single range, `ranges` (F3).

    Raises:
        CniError: code 6, a wrong JSON type; code 7, no range at all, or one that is not sound (F4).
    """
    single: list[Json] = [dict(ipam)] if keys.text(ipam, "subnet") else []
    listed = [*at_run_time, *([single] if single else []), *(keys.items(ipam, "ranges") or [])]
    if not listed:
        raise CniError(Code.CONFIG, "cannot allocate addresses: no range is given", "give 'ranges' under 'ipam'")
    sets = tuple(_set(number, item) for number, item in enumerate(listed))
    for (one, first), (two, second) in combinations(enumerate(sets), 2):
        if first.overlaps(second):
            raise CniError(Code.CONFIG, f"cannot use range set {one}: it overlaps range set {two}")
    return sets


def require_one_per_family(sets: Sequence[RangeSet]) -> None:
    """For results that can hold no more (F4)."""
    families = [item.version for item in sets]
    if len(families) != len(set(families)):
        raise CniError(Code.CONFIG, "cannot allocate more than one address per family: the CNI version has one only")


def _set(number: int, item: Json) -> RangeSet:
    where = f"range set {number}"
    if not isinstance(item, list):
        raise CniError.decode(where, f"{describe(item)} is not a list of ranges")
    if not item:
        raise CniError(Code.CONFIG, f"cannot use {where}: it is empty")
    try:
        ranges = tuple(map(_range, item))
    except CniError as error:
        raise error.within(where) from None
    if len({part.subnet.version for part in ranges}) > 1:
        raise CniError(Code.CONFIG, f"cannot use {where}: it mixes IPv4 and IPv6")
    for one, two in combinations(ranges, 2):
        if one.overlaps(two):
            raise CniError(Code.CONFIG, f"cannot use {where}: {one} overlaps {two}")
    return RangeSet(ranges)


def _range(item: Json) -> Range:
    if not isinstance(item, dict):
        raise CniError.decode("range", f"{describe(item)} is not an object")
    subnet = _text.network("subnet", keys.text(item, "subnet"))
    if subnet.max_prefixlen - subnet.prefixlen < _HOST_BITS:
        raise CniError(Code.CONFIG, f"cannot use subnet '{subnet}': too small to allocate from")
    first, last = subnet.network_address + 1, subnet.broadcast_address - (subnet.version == 4)  # noqa: PLR2004 - IPv4
    start = _in_subnet(item, "rangeStart", subnet, first)
    end = _in_subnet(item, "rangeEnd", subnet, last)
    if int(start) > int(end):
        raise CniError(Code.CONFIG, f"cannot use rangeEnd '{end}': it lies before rangeStart '{start}'")
    text = keys.text(item, "gateway")
    gateway = _text.ip("gateway", text) if text else first
    if gateway.version != subnet.version:
        raise CniError(Code.CONFIG, f"cannot use gateway '{gateway}': of another family than subnet '{subnet}'")
    return Range(subnet=subnet, start=start, end=end, gateway=gateway)


def _in_subnet(item: Mapping[str, Json], key: str, subnet: Network, default: Ip) -> Ip:
    text = keys.text(item, key)
    if not text:
        return default
    address = _text.ip(key, text)
    if address not in subnet:
        raise CniError(Code.CONFIG, f"cannot use {key} '{address}': not in subnet '{subnet}'")
    return address


def addresses(pool: RangeSet, after: Ip | None) -> Iterator[tuple[Ip, Range]]:
    """Every address of a set once, beginning behind the one last given, so that none is given again at once (F7)."""
    last = pool.of(after) if after is not None else None
    if after is None or last is None:
        for part in pool.ranges:
            yield from _numbers(part, int(part.start), int(part.end))
        return
    where = pool.ranges.index(last)
    yield from _numbers(last, int(after) + 1, int(last.end))
    for part in (*pool.ranges[where + 1 :], *pool.ranges[:where]):
        yield from _numbers(part, int(part.start), int(part.end))
    yield from _numbers(last, int(last.start), int(after))


def _numbers(part: Range, first: int, last: int) -> Iterator[tuple[Ip, Range]]:
    kind = type(part.start)
    for value in range(first, last + 1):
        address = kind(value)
        if address != part.gateway:
            yield address, part
