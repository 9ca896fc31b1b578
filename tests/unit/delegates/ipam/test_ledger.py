# SPDX-License-Identifier: Apache-2.0
"""The leases as rows, beside those in memory, and over the death of whoever uses them."""

import random
from ipaddress import ip_address
from pathlib import Path

import pytest

from delegates.ipam import database, fair, ledger, ranges
from delegates.ipam.allocator import Holder
from delegates.ipam.audit import Leased
from delegates.ipam.fair import Store, Waiting, Wish
from delegates.ipam.ledger import Ledger
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName
from tests.unit.delegates.ipam.memory import Memory

SETS = ranges.parse({"ranges": [[{"subnet": "10.1.0.0/28"}], [{"subnet": "fd01::/64", "rangeEnd": "fd01::a"}]]}, [])
A, B, HUGE = ip_address("10.1.0.2"), ip_address("fd01::2"), ip_address("ffff::1")
STORE: type[Store] = Ledger


def who(name: str, ifname: str = "eth0") -> Holder:
    """A container's interface."""
    return Holder(ContainerId(name), IfName(ifname))


def test_a_lease_has_a_holder_until_it_is_given_back(tmp_path: Path) -> None:
    """Then it waits, and is known for ever."""
    with ledger.make(tmp_path, "net") as leases:
        for address in (A, B):
            leases.take(address, who("c1"), "ns/p")
        leases.take(ip_address("10.1.0.3"), who("c1", "net1"), "")
        assert leases.held(who("c1")) == [A, B]
        assert (leases.holder(A), leases.holder(ip_address("10.1.0.9"))) == (who("c1"), None)
        leases.give_back(who("c1"))
        leases.give_back(who("c1"))
        assert leases.leases() == [Leased(address=ip_address("10.1.0.3"), holder=who("c1", "net1"))]
        assert list(leases.waiting(A, ip_address("10.1.0.255"))) == [Waiting(A, 1)]
        assert [leases.given_back(version) for version in (4, 6)] == [1, 1]
        assert list(leases.known(A, ip_address("10.9.0.0"))) == [A, ip_address("10.1.0.3")]
        assert list(leases.known(B, HUGE)) == [B]
        assert leases.former("ns/p", "eth0") == [A, B]
        assert leases.former("ns/p", "net1") == leases.former("", "net1") == []


@pytest.mark.parametrize("last", ["10.1.0.255", "10.255.255.255"], ids=["few", "many"])
def test_the_longest_waiting_comes_first(tmp_path: Path, last: str) -> None:
    """Of a small range as of a large one; a family has its own queue."""
    with ledger.make(tmp_path, "net") as leases:
        for number, address in enumerate(("10.1.0.4", "fd01::4", "10.1.0.3", "10.0.0.1", "10.1.0.9")):
            leases.take(ip_address(address), who(f"c{number}"), "")
            leases.give_back(who(f"c{number}"))
        found = [str(item.address) for item in leases.waiting(A, ip_address(last))]
        assert found == ["10.1.0.4", "10.1.0.3", "10.1.0.9"]


def test_what_is_not_valid_is_given_back(tmp_path: Path) -> None:
    """By container and interface."""
    with ledger.make(tmp_path, "net") as leases:
        for number, holder in enumerate((who("c1"), who("c1", "net1"), who("c2"))):
            leases.take(A + number, holder, "")
        leases.give_back_others([who("c1", "net1")])
        assert [item.holder for item in leases.leases()] == [who("c1", "net1")]


def test_numbers_of_ipv6_are_kept_whole(tmp_path: Path) -> None:
    """They are longer than SQLite's."""
    with ledger.make(tmp_path, "net") as leases:
        assert leases.reached("r") is None
        leases.reach("r", int(HUGE))
        leases.reach("r", int(HUGE) + 1)
        assert leases.reached("r") == int(HUGE) + 1


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    """The first set's address is not kept when the second has none."""
    with ledger.make(tmp_path, "net") as leases:
        leases.take(A, who("c1"), "")
    wish = Wish(holder=who("c2"), requested=(ip_address("10.9.0.1"),))
    with pytest.raises(CniError, match=r"10\.9\.0\.1"), ledger.make(tmp_path, "net") as leases:
        fair.allocate(SETS, wish, leases)
    with ledger.make(tmp_path, "net") as leases:
        assert [item.holder for item in leases.leases()] == [who("c1")]
        assert list(leases.known(A, ip_address("10.9.0.0"))) == [A]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_same_in_memory_and_on_disk(tmp_path: Path, seed: int) -> None:
    """Two hundred steps at random, the file closed now and then: the same addresses and the same refusals."""
    chance, memory = random.Random(seed), Memory()  # noqa: S311 - chance, not secrecy

    def step(store: Memory | Ledger, name: str, requested: tuple[str, ...], pod: str) -> object:
        wish = Wish(holder=who(name), pod=pod, requested=tuple(map(ip_address, requested)))
        try:
            return [str(lease.address) for lease in fair.allocate(SETS, wish, store)]
        except CniError as error:
            return error.code

    for _ in range(200):
        name = f"c{chance.randrange(12)}"
        if chance.random() < 0.1:
            database.close()
        requested = chance.choice([(), (), (), ("10.1.0.5", "fd01::5")])
        pod = chance.choice(["", f"ns/{name}"])
        if memory.held(who(name)) or chance.random() < 0.3:
            memory.give_back(who(name))
            with ledger.make(tmp_path, "net") as leases:
                leases.give_back(who(name))
            continue
        with ledger.make(tmp_path, "net") as leases:
            mine = step(leases, name, requested, pod)
            if isinstance(mine, int):
                leases.give_back(who(name))
        theirs = step(memory, name, requested, pod)
        if isinstance(theirs, int):
            memory.give_back(who(name))
        assert mine == theirs


def test_what_is_not_there_is_not_made_to_look_at(tmp_path: Path) -> None:
    """Neither folder nor file."""
    with ledger.existing(tmp_path / "none", "net") as leases:
        assert leases is None
    (tmp_path / "net").mkdir(mode=0o700)
    with ledger.existing(tmp_path, "net") as leases:
        assert leases is None
    assert list((tmp_path / "net").iterdir()) == []
