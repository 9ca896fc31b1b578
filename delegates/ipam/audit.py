# SPDX-License-Identifier: Apache-2.0
"""What is leased beside what is attached. Pure: it must not know where either was read, nor put anything right."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from delegates._text import Ip
from delegates.ipam.allocator import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """An address and whose it is, as the leases say."""

    address: Ip
    holder: Holder
    pod: str = ""
    """Namespace and name, where the lease says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An address and who has it, as the node says."""

    address: Ip
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Where the two differ; each is in the order of its addresses."""

    unused: tuple[Leased, ...]
    """Leased to a holder that does not have it: nobody can use it until the lease is given back."""
    unleased: tuple[Attached, ...]
    """In use without a lease: somebody else may be given it."""
    mistaken: tuple[Attached, ...]
    """In use by another than the lease's holder."""
    shared: tuple[Attached, ...]
    """In use by several."""

    @property
    def sound(self) -> bool:
        """Whether leases and node agree."""
        return not (self.unused or self.unleased or self.mistaken or self.shared)


def audit(leases: Iterable[Leased], attached: Iterable[Attached]) -> Audit:
    """Compare them."""
    leased = sorted(leases, key=_by_address)
    present = sorted(set(attached), key=_by_address)
    owners = {item.address: item.holder for item in leased}
    having = {(item.address, item.holder) for item in present}
    users = Counter(item.address for item in present)
    return Audit(
        unused=tuple(item for item in leased if (item.address, item.holder) not in having),
        unleased=tuple(item for item in present if item.address not in owners),
        mistaken=tuple(item for item in present if owners.get(item.address, item.holder) != item.holder),
        shared=tuple(item for item in present if users[item.address] > 1),
    )


def _by_address(item: Leased | Attached) -> tuple[int, int, str, str]:
    return item.address.version, int(item.address), item.holder.container, item.holder.ifname
