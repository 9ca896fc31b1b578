# SPDX-License-Identifier: Apache-2.0
"""Ranges of addresses and sets of ranges, out of a configuration and proven sound (F1-F5). Pure.

A set is the pool that one address is taken from; its ranges may lie in several subnets.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from delegates import _text
from delegates._text import Ip, Network
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe

KEYS: Final = frozenset({"subnet", "rangestart", "rangeend", "gateway"})
Span = tuple[int, int]
"""Addresses from the first to the last, as numbers."""

_HOST_BITS: Final = 2  # the fewest a subnet must have


@dataclass(frozen=True, kw_only=True)  # no slots: they leave no room for what is computed once
class Range:
    """Addresses from `start` to `end`, both included, without the gateway and what is excluded."""

    subnet: Network
    start: Ip
    end: Ip
    gateway: Ip
    excluded: tuple[Span, ...] = ()

    def __contains__(self, address: Ip) -> bool:
        return address.version == self.subnet.version and int(self.start) <= int(address) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    @property
    def size(self) -> int:
        """How many addresses it has to give."""
        first, last = int(self.start), int(self.end)
        closed = sum(
            min(last, high) - max(first, low) + 1 for low, high in self.closed if low <= last and high >= first
        )
        return last - first + 1 - closed

    @cached_property
    def closed(self) -> tuple[Span, ...]:
        """What is never given, in order and apart from each other: what is excluded, and the gateway."""
        merged: list[Span] = []
        for low, high in sorted((*self.excluded, (int(self.gateway), int(self.gateway)))):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return tuple(merged)

    def gives(self, address: Ip) -> bool:
        """Whether it may give an address."""
        return address in self and self.behind(int(address)) == int(address)

    def behind(self, number: int) -> int:
        """This number, or the first behind the closed span that it lies in."""
        at = bisect_right(self.closed, number, key=_first) - 1
        return self.closed[at][1] + 1 if at >= 0 and number <= self.closed[at][1] else number

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


def listed(ipam: Mapping[str, Json], at_run_time: Sequence[Json]) -> tuple[Json, ...]:
    """All sets as they are written, in their order: those given at run time, the old single range, `ranges` (F3)."""
    single: list[Json] = [dict(ipam)] if keys.text(ipam, "subnet") else []
    return (*at_run_time, *([single] if single else []), *(keys.items(ipam, "ranges") or []))


def undeclared(ipam: Mapping[str, Json], at_run_time: Sequence[Json], known: Collection[str]) -> str | None:
    """The first key of a range in `ranges` or given at run time that nobody carries out, as a reason to decline."""
    for pool in (*at_run_time, *(keys.items(ipam, "ranges") or [])):
        items = [item for item in pool if isinstance(item, dict)] if isinstance(pool, list) else []
        for item in items:
            key = _text.unknown(item, known)
            if key:
                return f"key '{key}' of a range ({describe(item[key])}) is not known"
    return None


def parse(ipam: Mapping[str, Json], at_run_time: Sequence[Json]) -> tuple[RangeSet, ...]:
    """All sets, proven sound.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, no range at all, or one that is not sound (F4).
    """
    written = listed(ipam, at_run_time)
    if not written:
        raise CniError(Code.CONFIG, "cannot allocate addresses: no range is given", "give 'ranges' under 'ipam'")
    sets = tuple(_set(number, item) for number, item in enumerate(written))
    for (one, first), (two, second) in combinations(enumerate(sets), 2):
        if first.overlaps(second):
            raise CniError(Code.CONFIG, f"cannot use range set {one}: it overlaps range set {two}")
    return sets


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
    excluded = tuple(_span(text, subnet) for text in keys.texts(item, "exclude"))
    return Range(subnet=subnet, start=start, end=end, gateway=gateway, excluded=excluded)


def _in_subnet(item: Mapping[str, Json], key: str, subnet: Network, default: Ip) -> Ip:
    text = keys.text(item, key)
    if not text:
        return default
    address = _text.ip(key, text)
    if address not in subnet:
        raise CniError(Code.CONFIG, f"cannot use {key} '{address}': not in subnet '{subnet}'")
    return address


def _span(text: str, subnet: Network) -> Span:
    """What is excluded: an address, a subnet, or `first-last`."""
    first, dash, last = text.partition("-")
    if not dash and "/" in text:
        inside = _text.network("exclude", text)
        ends: tuple[Ip, Ip] = (inside.network_address, inside.broadcast_address)
    else:
        ends = (_text.ip("exclude", first), _text.ip("exclude", last if dash else first))
    if ends[0] not in subnet or ends[1] not in subnet:
        raise CniError(Code.CONFIG, f"cannot use exclude {text!r}: not in subnet '{subnet}'")
    if int(ends[0]) > int(ends[1]):
        raise CniError(Code.CONFIG, f"cannot use exclude {text!r}: it ends before it begins")
    return int(ends[0]), int(ends[1])


def _first(span: Span) -> int:
    return span[0]


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
