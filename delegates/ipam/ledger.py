# SPDX-License-Identifier: Apache-2.0
"""metacni-ipam's leases as rows: one for each address that somebody has or had. Must not choose an address.

A row is never deleted: whose an address is can be "nobody's", and then it waits in the queue with the number of its
give-back. A row that is not there is an address that nobody has had.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from delegates._text import Ip
from delegates.ipam import database
from delegates.ipam.allocator import Holder
from delegates.ipam.audit import Leased
from delegates.ipam.fair import Waiting
from metacni.cni.names import ContainerId, IfName

_SCHEMA: Final = """
CREATE TABLE addresses (
  address BLOB PRIMARY KEY,  -- its family, 4 or 6, and its bytes: in this order they are in theirs
  family INTEGER NOT NULL,
  container TEXT,            -- NULL: it waits
  ifname TEXT NOT NULL,
  pod TEXT NOT NULL,         -- namespace/name of one that is to get it again; may be empty
  since INTEGER NOT NULL     -- the number of its give-back
) WITHOUT ROWID;
CREATE INDEX holders ON addresses (container, ifname) WHERE container IS NOT NULL;
CREATE INDEX waiting ON addresses (family, since, address) WHERE container IS NULL;
CREATE INDEX former ON addresses (pod, ifname) WHERE container IS NULL AND pod <> '';
CREATE TABLE given_back (family INTEGER PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO given_back VALUES (4, 0), (6, 0);
CREATE TABLE reached (range TEXT PRIMARY KEY, number TEXT NOT NULL) WITHOUT ROWID;
"""
_TAKE: Final = """
INSERT INTO addresses VALUES (:address, :family, :container, :ifname, :pod, 0)
ON CONFLICT (address) DO UPDATE SET container = :container, ifname = :ifname, pod = :pod, since = 0
"""
_WAITING: Final = """
SELECT address, since FROM addresses {}
WHERE container IS NULL AND family = ? AND address BETWEEN ? AND ? ORDER BY since, address
"""
_OF_FEW: Final = _WAITING.format("NOT INDEXED")  # looks at the range, and not at the queue of a larger one beside it
_OF_MANY: Final = _WAITING.format("INDEXED BY waiting")
_FEW: Final = 1024


class Ledger:
    """The leases of one network, in a transaction. It is a fair.Store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use this connection, in whose transaction everything happens."""
        self._run = connection.execute

    def held(self, holder: Holder) -> Sequence[Ip]:
        """The addresses of a holder."""
        rows = self._run("SELECT address FROM addresses WHERE container = ? AND ifname = ?", _of(holder))
        return [_address(key) for (key,) in rows]

    def holder(self, address: Ip) -> Holder | None:
        """Whose an address is."""
        query = "SELECT container, ifname FROM addresses WHERE address = ? AND container IS NOT NULL"
        row = self._run(query, (_key(address),)).fetchone()
        return _holder(*row) if row else None

    def take(self, address: Ip, holder: Holder, pod: str) -> None:
        """Make an address somebody's that is nobody's."""
        container, ifname = _of(holder)
        row = {"address": _key(address), "family": address.version, "container": container, "ifname": ifname}
        self._run(_TAKE, row | {"pod": pod})

    def waiting(self, first: Ip, last: Ip) -> Iterator[Waiting]:
        """The addresses between these that were given back, the oldest first."""
        query = _OF_FEW if int(last) - int(first) < _FEW else _OF_MANY
        for key, since in self._run(query, (first.version, _key(first), _key(last))):
            yield Waiting(_address(key), since)

    def former(self, pod: str, ifname: str) -> Sequence[Ip]:
        """The waiting addresses that a pod had last, the latest first."""
        query = "SELECT address FROM addresses WHERE container IS NULL AND pod <> '' AND pod = ? AND ifname = ?"
        return [_address(key) for (key,) in self._run(f"{query} ORDER BY since DESC", (pod, ifname))]

    def known(self, first: Ip, last: Ip) -> Iterator[Ip]:
        """The addresses between these that somebody has or had, in their order."""
        query = "SELECT address FROM addresses WHERE address BETWEEN ? AND ? ORDER BY address"
        return (_address(key) for (key,) in self._run(query, (_key(first), _key(last))))

    def given_back(self, version: int) -> int:
        """How many addresses of this family were given back so far."""
        row: tuple[int] = self._run("SELECT count FROM given_back WHERE family = ?", (version,)).fetchone()
        return row[0]

    def reached(self, key: str) -> int | None:
        """Up to which number each address of a range is known or never given; None: nobody has looked."""
        row = self._run("SELECT number FROM reached WHERE range = ?", (key,)).fetchone()
        return int(row[0]) if row else None

    def reach(self, key: str, number: int) -> None:
        """Keep it, as text: SQLite's numbers are too short for IPv6."""
        self._run("INSERT OR REPLACE INTO reached VALUES (?, ?)", (key, str(number)))

    def give_back(self, holder: Holder) -> None:
        """Put all that a holder has at the end of the queue; nothing found is fine."""
        for address in self.held(holder):
            self._run("UPDATE given_back SET count = count + 1 WHERE family = ?", (address.version,))
            query = "UPDATE addresses SET container = NULL, since = ? WHERE address = ?"
            self._run(query, (self.given_back(address.version), _key(address)))

    def give_back_others(self, valid: Collection[Holder]) -> None:
        """Put all that nobody of these has at the end of the queue."""
        for holder in dict.fromkeys(item.holder for item in self.leases()):
            if holder not in valid:
                self.give_back(holder)

    def leases(self) -> Sequence[Leased]:
        """All that is leased."""
        query = "SELECT address, container, ifname, pod FROM addresses WHERE container IS NOT NULL ORDER BY address"
        return [
            Leased(address=_address(key), holder=_holder(container, ifname), pod=pod)
            for key, container, ifname, pod in self._run(query)
        ]


@contextmanager
def make(data_dir: Path, network: str) -> Iterator[Ledger]:
    """The leases of a network, locked, made if there are none. Raises CniError: as database.transaction."""
    with database.transaction(data_dir / network, _SCHEMA, make=True) as connection:
        assert connection is not None  # noqa: S101 - it was made
        yield Ledger(connection)


@contextmanager
def existing(data_dir: Path, network: str) -> Iterator[Ledger | None]:
    """The leases of a network, locked; None if there are none. Raises CniError: as database.transaction."""
    with database.transaction(data_dir / network, _SCHEMA, make=False) as connection:
        yield Ledger(connection) if connection is not None else None


def _key(address: Ip) -> bytes:
    return bytes((address.version,)) + address.packed


def _address(key: bytes) -> Ip:
    return IPv4Address(key[1:]) if key[0] == 4 else IPv6Address(key[1:])  # noqa: PLR2004 - the family


def _of(holder: Holder) -> tuple[str, str]:
    return holder.container, holder.ifname


def _holder(container: str, ifname: str) -> Holder:
    return Holder(ContainerId(container), IfName(ifname))
