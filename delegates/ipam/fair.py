# SPDX-License-Identifier: Apache-2.0
"""Which address each range set gives, so that none is used again before the others. Pure: it asks only a store.

An address that was given back goes to the end of a queue. First come the addresses that nobody has had yet, then the
one that has waited the longest: whoever still has the old holder's address in mind, a neighbour's cache or a firewall,
gets as much time to forget as the range allows. Nothing is walked: a step costs the same in a subnet of any size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from delegates._text import Ip
from delegates.ipam import allocator
from delegates.ipam.allocator import Holder, Lease
from delegates.ipam.ranges import Range, RangeSet
from metacni.cni.errors import CniError, Code

REST: Final = 1 << 16
"""So many others given back since are rest enough: the queue of a huge subnet must not grow with every pod."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An address that was given back, and the number of that give-back."""

    address: Ip
    since: int


class Store(Protocol):
    """The leases, locked. What is changed here is kept as a whole, or not at all when the allocation fails."""

    def held(self, holder: Holder) -> Sequence[Ip]:
        """The addresses of a holder."""

    def holder(self, address: Ip) -> Holder | None:
        """Whose an address is."""

    def take(self, address: Ip, holder: Holder, pod: str) -> None:
        """Make an address somebody's that is nobody's."""

    def waiting(self, first: Ip, last: Ip) -> Iterator[Waiting]:
        """The addresses between these that were given back, the oldest first."""

    def former(self, pod: str, ifname: str) -> Sequence[Ip]:
        """The waiting addresses that a pod had last."""

    def known(self, first: Ip, last: Ip) -> Iterator[Ip]:
        """The addresses between these that somebody has or had, in their order."""

    def given_back(self, version: int) -> int:
        """How many addresses of this family were given back so far."""

    def reached(self, key: str) -> int | None:
        """Up to which number each address of a range is known or never given; None: nobody has looked."""

    def reach(self, key: str, number: int) -> None:
        """Keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who asks, and for what."""

    holder: Holder
    pod: str = ""
    """Namespace and name, when the pod is to get its last address again; else empty."""
    requested: tuple[Ip, ...] = ()


def allocate(sets: Sequence[RangeSet], wish: Wish, store: Store) -> tuple[Lease, ...]:
    """One address of each set.

    Raises:
        CniError: code 11, a set is empty; code 7, a requested address cannot be had; code 999, the holder has one.
    """
    return allocator.assign(sets, wish.requested, partial(_give, wish, store, store.held(wish.holder)))


def require_one(pool: RangeSet, store: Store) -> None:
    """Raises CniError: code 11, the set has no address left."""
    _next(pool, store)


def _give(wish: Wish, store: Store, held: Sequence[Ip], pool: RangeSet, asked: Ip | None) -> Lease:
    if asked is not None:
        lease, owner = _exactly(pool, asked), store.holder(asked)
        if owner == wish.holder:  # its answer was lost, and it asks again (F46)
            return lease
        if owner is not None:
            told = f"container {owner.container!r} interface {owner.ifname!r}"
            raise CniError(Code.CONFIG, f"cannot allocate requested address '{asked}': {told} has it")
    else:
        allocator.require_none(held, pool)
        lease = _former(wish, pool, store) or _next(pool, store)
    store.take(lease.address, wish.holder, wish.pod)
    return lease


def _exactly(pool: RangeSet, address: Ip) -> Lease:
    part = pool.of(address)
    if part is None or not part.gives(address):
        what = "the subnet's gateway" if part is None or address == part.gateway else "excluded"
        raise CniError(Code.CONFIG, f"cannot allocate requested address '{address}': it is {what}")
    return Lease(address, part)


def _former(wish: Wish, pool: RangeSet, store: Store) -> Lease | None:
    for address in store.former(wish.pod, wish.holder.ifname) if wish.pod else ():
        part = pool.of(address)
        if part is not None and part.gives(address):
            return Lease(address, part)
    return None


def _next(pool: RangeSet, store: Store) -> Lease:
    oldest = min(filter(None, (_oldest(part, store) for part in pool.ranges)), key=_since, default=None)
    if oldest is None or store.given_back(pool.version) - oldest[0] < REST:
        for part in pool.ranges:
            address = _fresh(part, store)
            if address is not None:
                return Lease(address, part)
    if oldest is None:
        raise CniError(Code.TRY_AGAIN, f"cannot allocate an address: all of {pool} are taken")
    return oldest[1]


def _oldest(part: Range, store: Store) -> tuple[int, Lease] | None:
    """The longest waiting address that the range gives; what was excluded since is passed over."""
    found = (item for item in store.waiting(part.start, part.end) if part.gives(item.address))
    return next(((item.since, Lease(item.address, part)) for item in found), None)


def _since(item: tuple[int, Lease]) -> int:
    return item[0]


def _fresh(part: Range, store: Store) -> Ip | None:
    """The first address that nobody has had. None is looked at twice, unless the range was changed."""
    key = f"{part.start} without {part.closed}"
    before = store.reached(key)
    kind, last = type(part.start), int(part.end)
    number = part.behind(int(part.start) if before is None else before + 1)
    if number <= last:
        for known in map(int, store.known(kind(number), part.end)):
            if number < known:
                break
            number = part.behind(known + 1)
    if before != number - 1:
        store.reach(key, number - 1)
    return kind(number) if number <= last else None
