# SPDX-License-Identifier: Apache-2.0
"""Which address each range set gives (F7-F12), asking only a store. Pure: it must not know where leases are kept."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from delegates import _text
from delegates._text import Ip, Prefixed
from delegates.ipam.ranges import Range, RangeSet, addresses
from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId, IfName


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose an address is."""

    container: ContainerId
    ifname: IfName


class Store(Protocol):
    """The leases, locked for as long as this is used."""

    def held(self, holder: Holder) -> Sequence[Ip]:
        """The addresses of a holder."""

    def reserve(self, address: Ip, holder: Holder) -> bool:
        """Take an address; False when somebody has it."""

    def free(self, address: Ip, holder: Holder) -> None:
        """Give back an address that was just reserved."""

    def last(self, number: int) -> Ip | None:
        """The address that range set `number` gave last."""

    def remember(self, number: int, address: Ip) -> None:
        """Keep it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """An address and the range it is from."""

    address: Ip
    range: Range

    @property
    def prefixed(self) -> Prefixed:
        """The address with its subnet's prefix."""
        return _text.prefixed("address", f"{self.address}/{self.range.subnet.prefixlen}")


def allocate(sets: Sequence[RangeSet], requested: Sequence[Ip], holder: Holder, store: Store) -> tuple[Lease, ...]:
    """One address of each set, all or none.

    Raises:
        CniError: code 11, a set is empty; code 7, a requested address cannot be had; code 999, the holder has one.
    """
    held = store.held(holder)
    numbers = count()
    with ExitStack() as undo:

        def give(pool: RangeSet, asked: Ip | None) -> Lease:
            number = next(numbers)
            if asked is None:
                require_none(held, pool)
                lease = _next(number, pool, holder, store)
            else:
                lease = _exactly(pool, asked, holder, store)
            undo.callback(store.free, lease.address, holder)
            store.remember(number, lease.address)
            return lease

        leases = assign(sets, requested, give)
        undo.pop_all()
    return leases


def assign(
    sets: Sequence[RangeSet], requested: Sequence[Ip], give: Callable[[RangeSet, Ip | None], Lease]
) -> tuple[Lease, ...]:
    """Have each set in turn give the first requested address that lies in it, or any (F10).

    Raises:
        CniError: what `give` raises; code 7, a requested address lies in no set that is left.
    """
    wanted = list(dict.fromkeys(requested))
    leases = []
    for number, pool in enumerate(sets):
        asked = next((address for address in wanted if address in pool), None)
        if asked is not None:
            wanted.remove(asked)
        try:
            leases.append(give(pool, asked))
        except CniError as error:
            raise error.within(f"range set {number}") from None
    if wanted:
        raise CniError(
            Code.CONFIG,
            f"cannot allocate all requested addresses: {', '.join(map(str, wanted))}",
            "each has to lie in a range set of its own",
        )
    return tuple(leases)


def _exactly(pool: RangeSet, address: Ip, holder: Holder, store: Store) -> Lease:
    part = pool.of(address)
    if part is None or address == part.gateway:
        raise CniError(Code.CONFIG, f"cannot allocate requested address '{address}': it is the subnet's gateway")
    if not store.reserve(address, holder):
        raise CniError(Code.CONFIG, f"cannot allocate requested address '{address}': it is taken")
    return Lease(address, part)


def require_none(held: Sequence[Ip], pool: RangeSet) -> None:
    """A second ADD is refused, not answered again (F12)."""
    address = next((address for address in held if address in pool), None)
    if address is not None:
        hint = "the sandbox was not deleted before it was added again"
        raise CniError(Code.INTERNAL, f"cannot allocate an address: '{address}' is that container's already", hint)


def _next(number: int, pool: RangeSet, holder: Holder, store: Store) -> Lease:
    for address, part in addresses(pool, store.last(number)):
        if store.reserve(address, holder):
            return Lease(address, part)
    raise CniError(Code.TRY_AGAIN, f"cannot allocate an address: all of {pool} are taken")
