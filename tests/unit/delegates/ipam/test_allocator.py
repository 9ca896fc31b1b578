# SPDX-License-Identifier: Apache-2.0
"""The allocator over a store in memory; after each test what was given is what is held."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from delegates._text import Ip
from delegates.ipam import ranges
from delegates.ipam.allocator import Holder, allocate
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName

POOLS = ranges.parse({"ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd01::/125"}]]}, [])
ONE, TWO = (Holder(ContainerId(name), IfName("eth0")) for name in ("c1", "c2"))


class Memory:
    """Leases in a dict."""

    def __init__(self, *taken: str) -> None:
        self.leases: dict[Ip, Holder] = {ip_address(address): TWO for address in taken}
        self.lasts: dict[int, Ip] = {}

    def held(self, holder: Holder) -> Sequence[Ip]:
        """Those of a holder."""
        return [address for address, owner in self.leases.items() if owner == holder]

    def reserve(self, address: Ip, holder: Holder) -> bool:
        """Take one."""
        return self.leases.setdefault(address, holder) is holder

    def free(self, address: Ip, holder: Holder) -> None:
        """Give one back."""
        assert self.leases.pop(address) == holder

    def last(self, number: int) -> Ip | None:
        """The last of a set."""
        return self.lasts.get(number)

    def remember(self, number: int, address: Ip) -> None:
        """Keep it."""
        self.lasts[number] = address


def got(store: Memory, *requested: str, pools: Any = POOLS, holder: Holder = ONE) -> list[str]:
    """What an allocation gives; and the check that it is held."""
    leases = allocate(pools, [ip_address(text) for text in requested], holder, store)
    assert sorted(map(str, store.held(holder))) == sorted(str(lease.address) for lease in leases)
    return [str(lease.address) for lease in leases]


def test_one_of_each_set() -> None:
    """In turn."""
    store = Memory()
    assert got(store) == ["10.1.0.2", "fd01::2"]
    assert got(store, holder=Holder(ContainerId("c3"), IfName("eth0"))) == ["10.1.0.3", "fd01::3"]
    assert store.lasts == {0: ip_address("10.1.0.3"), 1: ip_address("fd01::3")}


def test_what_is_taken_is_passed_over() -> None:
    """Whoever has it."""
    assert got(Memory("10.1.0.2", "10.1.0.3", "fd01::2")) == ["10.1.0.4", "fd01::3"]


def test_requested_addresses_find_their_sets() -> None:
    """In any order; a set that nobody asks of gives what comes."""
    assert got(Memory(), "fd01::5", "10.1.0.6", "fd01::5") == ["10.1.0.6", "fd01::5"]
    assert got(Memory(), "fd01::5") == ["10.1.0.2", "fd01::5"]


@pytest.mark.parametrize(
    ("taken", "requested", "code", "says"),
    [
        pytest.param([], ["10.1.0.1"], 7, "gateway", id="the-gateway"),
        pytest.param(["10.1.0.5"], ["10.1.0.5"], 7, "taken", id="taken"),
        pytest.param([], ["10.9.0.1"], 7, "10.9.0.1", id="outside"),
        pytest.param([], ["10.1.0.4", "10.1.0.5"], 7, "10.1.0.5", id="two-of-one-set"),
        pytest.param([f"fd01::{last}" for last in range(2, 8)], [], 11, "range set 1", id="the-second-set-is-empty"),
    ],
)
def test_all_or_none(taken: list[str], requested: list[str], code: int, says: str) -> None:
    """What one set gave goes back when another has nothing to give."""
    store = Memory(*taken)
    with pytest.raises(CniError, match=says) as caught:
        got(store, *requested)
    assert caught.value.code == code
    assert store.held(ONE) == []


def test_a_second_lease_is_refused_and_the_first_stands() -> None:
    """Unlike in the reference, even when the second one asks for addresses and fails midway."""
    store = Memory()
    got(store)
    for requested in ([], [ip_address("10.1.0.5")]):
        with pytest.raises(CniError, match="already"):
            allocate(POOLS, requested, ONE, store)
        assert sorted(map(str, store.held(ONE))) == ["10.1.0.2", "fd01::2"]
