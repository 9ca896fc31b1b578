# SPDX-License-Identifier: Apache-2.0
"""metacni-ipam's leases in memory: the same Protocol, a dict in place of tables."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from delegates._text import Ip
from delegates.ipam.allocator import Holder
from delegates.ipam.fair import Waiting


@dataclass(slots=True)
class Row:
    """What is known of an address."""

    holder: Holder | None
    last: str
    """The interface that has or had it."""
    pod: str
    since: int = 0


class Memory:
    """A fair.Store."""

    def __init__(self) -> None:
        self.rows: dict[Ip, Row] = {}
        self.count: Counter[int] = Counter()
        self.reached_by: dict[str, int] = {}
        self.looks = 0
        """How many rows were looked at."""

    def held(self, holder: Holder) -> Sequence[Ip]:
        """Of a holder."""
        return [address for address, row in self.rows.items() if row.holder == holder]

    def holder(self, address: Ip) -> Holder | None:
        """Of an address."""
        row = self.rows.get(address)
        return row.holder if row else None

    def take(self, address: Ip, holder: Holder, pod: str) -> None:
        """Somebody's now."""
        assert self.holder(address) is None
        self.rows[address] = Row(holder, holder.ifname, pod)

    def waiting(self, first: Ip, last: Ip) -> Iterator[Waiting]:
        """Oldest first."""
        inside = self._between(first, last)
        for since, address in sorted((row.since, address) for address, row in inside if row.holder is None):
            self.looks += 1
            yield Waiting(address, since)

    def former(self, pod: str, ifname: str) -> Sequence[Ip]:
        """Of a pod."""
        return [
            address for address, row in self.rows.items() if row.holder is None and (row.pod, row.last) == (pod, ifname)
        ]

    def known(self, first: Ip, last: Ip) -> Iterator[Ip]:
        """In order."""
        for address in sorted(address for address, _ in self._between(first, last)):
            self.looks += 1
            yield address

    def given_back(self, version: int) -> int:
        """So far."""
        return self.count[version]

    def reached(self, key: str) -> int | None:
        """Of a range."""
        return self.reached_by.get(key)

    def reach(self, key: str, number: int) -> None:
        """Kept."""
        self.reached_by[key] = number

    def give_back(self, holder: Holder) -> None:
        """As the ledger does."""
        for address in self.held(holder):
            self.count[address.version] += 1
            self.rows[address].holder = None
            self.rows[address].since = self.count[address.version]

    def _between(self, first: Ip, last: Ip) -> list[tuple[Ip, Row]]:
        low, high = int(first), int(last)
        return [
            (address, row)
            for address, row in self.rows.items()
            if address.version == first.version and low <= int(address) <= high
        ]
