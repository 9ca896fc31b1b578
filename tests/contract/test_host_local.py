# SPDX-License-Identifier: Apache-2.0
"""One folder of leases, two programs: what either leases the other sees, continues and gives back."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.cases import ipam, net
from tests.contract.twins import Twin

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("host-local")

SMALL = {"subnet": "10.1.0.0/29"}  # six addresses, one of them the gateway's
RANGES = [[SMALL, {"subnet": "10.3.0.0/30"}], [{"subnet": "fd01::/125"}]]
CONFIG = net(ipam=ipam(ranges=RANGES))


def step(twin: Twin, verb: str, container: str, ips: list[str]) -> object:
    """One call of host-local alone: what it gave, or that it refused."""
    config = CONFIG | ({"runtimeConfig": {"ips": ips}} if ips else {})
    answer = replace(twin, container=container).call(verb, config, type_="host-local")
    return [item["address"] for item in answer.body.get("ips", [])] if answer.status == 0 else "refused"


def leases(twin: Twin) -> object:
    """The folder; the reference makes an empty one even where it only looks."""
    return {name: file for name, file in twin.leases().items() if name != "lock"}


@pytest.mark.parametrize("seed", range(6))
def test_a_random_life_leaves_the_same_folder(pair: Pair, seed: int) -> None:
    """Thirty operations at random, the set exhausted and wrapped round: the same answers and the same bytes."""
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    reference, ours = pair("eth0")
    for _ in range(30):
        verb = chance.choice(["ADD", "ADD", "DEL", "CHECK"])
        container = f"c{chance.randrange(8)}"
        if step(ours, "CHECK", container, []) != "refused":
            verb = chance.choice(["DEL", "CHECK"])  # a second ADD that fails makes the reference give back the first's
        ips = chance.choice([[], [], [], ["10.1.0.4"], ["10.3.0.2", "fd01::6"], ["10.1.0.1"]])
        told = [step(twin, verb, container, ips if verb == "ADD" else []) for twin in (reference, ours)]
        assert told[1] == told[0], (verb, container, ips)
        assert leases(ours) == leases(reference)


@pytest.mark.parametrize("first", [pytest.param(0, id="theirs"), pytest.param(1, id="ours")])
def test_either_gives_back_what_the_other_leased(pair: Pair, first: int) -> None:
    """A node changes from one to the other while pods live: addresses go on in turn, and none is left behind."""
    twins = pair("eth0")
    shared = twins[0].data
    one, other = (replace(twins[number], data=shared) for number in (first, 1 - first))
    assert step(one, "ADD", "c1", []) == ["10.1.0.2/29", "fd01::2/125"]
    assert step(other, "ADD", "c2", []) == ["10.1.0.3/29", "fd01::3/125"]
    assert step(other, "ADD", "c1", []) == "refused"
    assert step(other, "CHECK", "c1", []) == []
    assert step(other, "DEL", "c1", []) == []
    assert step(one, "CHECK", "c1", []) == "refused"
    assert step(one, "DEL", "c2", []) == []
    assert sorted(one.leases()) == ["last_reserved_ip.0", "last_reserved_ip.1", "lock"]


def test_both_take_a_lease_of_the_oldest_form(pair: Pair) -> None:
    """A file that holds the container alone: it blocks a second lease, and DEL takes it away."""
    for twin in pair("eth0"):
        folder = twin.data / "net"
        folder.mkdir(parents=True)
        (folder / "10.1.0.4").write_text("c1")
        assert step(twin, "CHECK", "c1", []) == []
        assert step(twin, "ADD", "c1", []) == "refused"
        assert step(twin, "DEL", "c1", []) == []
        assert not (folder / "10.1.0.4").exists()


def test_a_file_that_nobody_filled_ours_takes_over(pair: Pair) -> None:
    """On purpose: one that kill -9 left empty the reference never gives again; ours does, and the reference goes on."""
    reference, ours = pair("eth0")
    for twin in (reference, ours):
        (twin.data / "net").mkdir(parents=True)
        (twin.data / "net/10.1.0.4").touch()
        os.utime(twin.data / "net/10.1.0.4", (0, 0))
    assert step(reference, "ADD", "c1", ["10.1.0.4"]) == "refused"
    assert step(ours, "ADD", "c1", ["10.1.0.4"]) == ["10.1.0.4/29", "fd01::2/125"]
    theirs = replace(reference, data=ours.data)
    assert step(theirs, "CHECK", "c1", []) == []
    assert step(theirs, "DEL", "c1", []) == []
    assert sorted(ours.leases()) == ["last_reserved_ip.0", "last_reserved_ip.1", "lock"]


def test_the_reference_waits_for_our_lock(pair: Pair, tmp_path: Path) -> None:
    """Both at once, ten each: twenty different addresses, so the lock is the same."""
    shared = tmp_path / "shared"
    twins = [replace(twin, data=shared) for twin in pair("eth0")]
    config = net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24"}]]))

    def lease(number: int) -> str:
        twin = replace(twins[number % 2], container=f"c{number}")
        return str(twin.call("ADD", config, type_="host-local").body["ips"][0]["address"])

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lease, range(20)))) == 20
