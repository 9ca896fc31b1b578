# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is, over leases in memory."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delegates.ipam import fair, ranges
from delegates.ipam.allocator import Holder
from delegates.ipam.fair import REST, Store, Wish
from delegates.ipam.ranges import RangeSet
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, IfName
from tests.unit.delegates.ipam.memory import Memory

SMALL = {"subnet": "10.1.0.0/29"}  # 2 to 6


def pools(*sets: list[Any]) -> tuple[RangeSet, ...]:
    """Range sets."""
    return ranges.parse({"ranges": list(sets)}, [])


def who(name: str) -> Holder:
    """A container's interface."""
    return Holder(ContainerId(name), IfName("eth0"))


def give(store: Memory, name: str, sets: tuple[RangeSet, ...], *requested: str, pod: str = "") -> str:
    """What it is given: the last part of each address."""
    wish = Wish(holder=who(name), pod=pod, requested=tuple(ip_address(text) for text in requested))
    leases = fair.allocate(sets, wish, store)
    return " ".join(str(lease.address).replace("::", ".").rsplit(".", 1)[1] for lease in leases)


def life(store: Memory, sets: tuple[RangeSet, ...], steps: str) -> str:
    """A step is a name to add or, behind a minus, to delete; what the adds were given."""
    told = []
    for step in steps.split():
        if step.startswith("-"):
            store.give_back(who(step[1:]))
        else:
            told.append(give(store, step, sets))
    return " ".join(told)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param("a b c", "2 3 4", id="in-order"),
        pytest.param("a -a b -b c", "2 3 4", id="fresh-before-used"),
        pytest.param("a b c d e -c -a f g", "2 3 4 5 6 4 2", id="longest-waiting-first"),
        pytest.param("a b c d e -a f -b -f g h", "2 3 4 5 6 2 3 2", id="in-turn"),
        pytest.param("a b c d e -e f -a -f g", "2 3 4 5 6 6 2", id="the-last-one-twice-only-when-alone"),
        pytest.param("a -a a -a a -a a -a a -a a", "2 3 4 5 6 2", id="a-pod-that-crashes-goes-round"),
    ],
)
def test_no_address_is_used_again_before_the_others(steps: str, expected: str) -> None:
    """Those nobody had, then the one that has waited the longest."""
    assert life(Memory(), pools([SMALL]), steps) == expected


def test_one_of_each_set_and_of_every_range() -> None:
    """In the order of the sets; the ranges of a set one after the other, and one queue over them."""
    store = Memory()
    sets = pools(
        [{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/29", "rangeEnd": "10.2.0.3"}], [{"subnet": "fd01::/64"}]
    )
    assert life(store, sets, "a b c -b -a d e") == "2 2 2 3 3 4 2 5 2 6"
    assert [str(address) for address in store.held(who("d"))] == ["10.2.0.2", "fd01::5"]


def test_an_empty_set_is_told_and_recovers() -> None:
    """Code 11 with the set's name."""
    store = Memory()
    life(store, pools([SMALL]), "a b c d e")
    with pytest.raises(CniError, match=r"range set 0: .*10\.1\.0\.1-10\.1\.0\.6") as caught:
        give(store, "f", pools([SMALL]))
    assert caught.value.code == 11
    with pytest.raises(CniError):
        fair.require_one(pools([SMALL])[0], store)
    assert life(store, pools([SMALL]), "-c f") == "4"


def test_to_look_whether_there_is_one_takes_none() -> None:
    """However often."""
    store = Memory()
    for _ in range(3):
        fair.require_one(pools([SMALL])[0], store)
    assert life(store, pools([SMALL]), "a b") == "2 3"


def test_excluded_addresses_are_never_given() -> None:
    """Nor the gateway, wherever it lies; each other one is."""
    part = {
        "subnet": "10.1.0.0/28",
        "gateway": "10.1.0.7",
        "exclude": ["10.1.0.1", "10.1.0.4/31", "10.1.0.9-10.1.0.12"],
    }
    assert life(Memory(), pools([part]), "a b c d e f") == "2 3 6 8 13 14"
    for asked in ("10.1.0.4", "10.1.0.10", "10.1.0.7"):
        with pytest.raises(CniError, match=asked) as caught:
            give(Memory(), "a", pools([part]), asked)
        assert caught.value.code == 7


def test_requested_addresses() -> None:
    """Free ones are given, in each set the one that lies in it; they are no longer fresh for others."""
    store = Memory()
    sets = pools([SMALL], [{"subnet": "fd01::/64"}])
    assert give(store, "a", sets, "fd01::9", "10.1.0.3") == "3 9"
    assert life(store, sets, "b c") == "2 2 4 3"
    with pytest.raises(CniError, match="container 'a' interface 'eth0' has it") as caught:
        give(store, "d", sets, "10.1.0.3")
    assert caught.value.code == 7
    assert give(store, "a", sets, "10.1.0.3", "fd01::9") == "3 9"  # asks again: its answer was lost
    store.give_back(who("a"))
    assert give(store, "d", sets, "10.1.0.3") == "3 4"


@pytest.mark.parametrize(
    ("requested", "says"),
    [
        pytest.param(["10.9.0.1"], "10.9.0.1", id="outside"),
        pytest.param(["10.1.0.3", "10.1.0.4"], "10.1.0.4", id="two-of-one-set"),
        pytest.param(["10.1.0.1"], "gateway", id="the-gateway"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(requested: list[str], says: str) -> None:
    """Code 7."""
    with pytest.raises(CniError, match=says) as caught:
        give(Memory(), "a", pools([SMALL]), *requested)
    assert caught.value.code == 7


def test_a_second_add_is_refused() -> None:
    """An answer that is given again could be taken back by an undo, while the first pod lives."""
    store = Memory()
    give(store, "a", pools([SMALL]))
    with pytest.raises(CniError, match=r"10\.1\.0\.2") as caught:
        give(store, "a", pools([SMALL]))
    assert caught.value.code == 999


def test_a_pod_gets_its_last_address_again() -> None:
    """Where it is free, for the same interface; a pod of another namespace is another pod."""
    store = Memory()
    sets = pools([SMALL], [{"subnet": "fd01::/64"}])
    give(store, "a", sets, pod="ns/db-0")
    give(store, "b", sets, pod="ns/db-1")
    store.give_back(who("a"))
    store.give_back(who("b"))
    assert give(store, "c", sets, pod="other/db-1") == "4 4"
    assert give(store, "d", sets, pod="ns/db-1") == "3 3"
    store.give_back(who("d"))
    life(store, sets, "e f g h")  # the small set is full
    assert give(store, "i", pools([{"subnet": "fd01::/64"}]), pod="ns/db-1") == "3"
    with pytest.raises(CniError):
        give(store, "j", sets, pod="ns/db-1")


def test_a_former_address_that_is_excluded_now_is_not_given() -> None:
    """The configuration of today counts."""
    store = Memory()
    give(store, "a", pools([SMALL]), pod="ns/db-0")
    store.give_back(who("a"))
    assert give(store, "b", pools([SMALL | {"exclude": ["10.1.0.2"]}]), pod="ns/db-0") == "3"


def test_a_changed_range_loses_no_address() -> None:
    """Wider, narrower, without what it excluded, and as it was: in the end each address is given once."""
    store = Memory()
    narrow = pools([SMALL | {"rangeStart": "10.1.0.4", "exclude": ["10.1.0.5"]}])
    assert life(store, narrow, "a b -a") == "4 6"
    assert life(store, pools([SMALL]), "c d") == "2 3"
    assert life(store, narrow, "e") == "4"
    wide = pools([{"subnet": "10.1.0.0/28"}])
    assert life(store, wide, "f g -b h") == "5 7 8"
    assert life(store, pools([SMALL]), "i") == "6"
    assert len(store.rows) == 7


def test_after_a_long_rest_an_address_comes_before_fresh_ones() -> None:
    """So that what is known of a huge subnet does not grow with every pod."""
    store = Memory()
    huge = pools([{"subnet": "10.0.0.0/8"}])
    assert life(store, huge, "a -a b") == "2 3"
    store.count[4] += REST - 1
    assert life(store, huge, "c") == "4"
    store.count[4] += 1
    assert life(store, huge, "d e") == "2 5"


@pytest.mark.parametrize("subnet", ["10.1.0.0/24", "10.0.0.0/8", "fd01::/64", "fd00::/8"])
def test_the_size_of_a_range_costs_nothing(subnet: str) -> None:
    """The same few rows are looked at in each."""
    store = Memory()
    life(store, pools([{"subnet": subnet}]), " ".join(f"c{number} -c{number}" for number in range(50)))
    assert store.looks == 98  # each time but the first the head of the queue, and the one that was given last


class Model:
    """Which addresses are free, and since when: fresh ones first."""

    def __init__(self, addresses: Iterable[int]) -> None:
        self.order = list(addresses)
        self.held: dict[str, int] = {}

    def add(self, name: str) -> str:
        """The first of the queue."""
        self.held[name] = self.order.pop(0)
        return str(self.held[name])

    def delete(self, name: str) -> None:
        """To its end."""
        if name in self.held:
            self.order.append(self.held.pop(name))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), max_size=60))
def test_it_is_a_queue(steps: list[tuple[bool, str]]) -> None:
    """Whatever comes and goes: the same as a list whose head is given and to whose end the rest goes."""
    store, model, sets = Memory(), Model(range(2, 7)), pools([SMALL])
    for adds, name in steps:
        if not adds:
            store.give_back(who(name))
            model.delete(name)
        elif name not in model.held and model.order:
            assert give(store, name, sets) == model.add(name)


STORE: type[Store] = Memory
