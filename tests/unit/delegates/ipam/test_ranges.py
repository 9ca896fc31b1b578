# SPDX-License-Identifier: Apache-2.0
"""Ranges out of JSON, and the order in which a set gives its addresses."""

from ipaddress import ip_address
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delegates.ipam import ranges
from metacni.cni.errors import CniError

NET = "10.1.0.0/29"
WIDE = "10.1.0.0/24"


def parsed(*sets: Any) -> tuple[ranges.RangeSet, ...]:
    """Sets as under `ranges`."""
    return ranges.parse({"ranges": list(sets)}, [])


@pytest.mark.parametrize(
    ("item", "text", "gateway", "size"),
    [
        pytest.param({"subnet": NET}, "10.1.0.1-10.1.0.6", "10.1.0.1", 5, id="ipv4"),
        pytest.param({"subnet": "fd01::/125"}, "fd01::1-fd01::7", "fd01::1", 6, id="ipv6-has-no-broadcast"),
        pytest.param({"subnet": NET, "gateway": "10.1.0.3"}, "10.1.0.1-10.1.0.6", "10.1.0.3", 5, id="gateway-inside"),
        pytest.param({"subnet": NET, "gateway": "10.9.0.1"}, "10.1.0.1-10.1.0.6", "10.9.0.1", 6, id="elsewhere"),
        pytest.param(
            {"Subnet": NET, "RANGESTART": "10.1.0.3", "rangeEnd": "10.1.0.4"}, "10.1.0.3-10.1.0.4", "10.1.0.1", 2
        ),
    ],
)  # fmt: skip
def test_a_range_has_defaults(item: dict[str, Any], text: str, gateway: str, size: int) -> None:
    """The first address is the gateway's; the last one is no broadcast address."""
    (pool,) = parsed([item])
    assert (str(pool), str(pool.ranges[0].gateway), pool.size) == (text, gateway, size)


def test_sets_stand_in_the_references_order() -> None:
    """Run time, the old single range, `ranges`: the place is part of the name of a file on disk."""
    sets = ranges.parse(
        {"subnet": "10.2.0.0/29", "ranges": [[{"subnet": "10.3.0.0/29"}]]}, [[{"subnet": "10.1.0.0/29"}]]
    )
    assert [str(pool) for pool in sets] == ["10.1.0.1-10.1.0.6", "10.2.0.1-10.2.0.6", "10.3.0.1-10.3.0.6"]


@pytest.mark.parametrize(
    ("sets", "code", "says"),
    [
        pytest.param([], 7, "no range", id="none"),
        pytest.param([[]], 7, "range set 0", id="empty-set"),
        pytest.param([{}], 6, "range set 0", id="no-list"),
        pytest.param([["x"]], 6, "not an object", id="no-object"),
        pytest.param([[{"subnet": "10.1.0.0/31"}]], 7, "too small", id="too-small"),
        pytest.param([[{"subnet": "fd01::/127"}]], 7, "too small", id="too-small-ipv6"),
        pytest.param([[{"subnet": NET, "gateway": "fd01::1"}]], 7, "another family", id="gateway-of-another-family"),
        pytest.param([[{"subnet": NET}, {"subnet": "fd01::/64"}]], 7, "mixes", id="mixed"),
        pytest.param([[{"subnet": NET}, {"subnet": NET}]], 7, "overlaps", id="overlap-inside"),
        pytest.param([[{"subnet": NET}], [{"subnet": "10.1.0.0/24"}]], 7, "range set 0", id="overlap-between"),
        pytest.param(
            [[{"subnet": NET, "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.4"}]], 7, "rangeEnd", id="backwards"
        ),
    ],
)
def test_what_is_not_sound_is_refused(sets: list[Any], code: int, says: str) -> None:
    """With the key or the set."""
    with pytest.raises(CniError, match=says) as caught:
        parsed(*sets)
    assert caught.value.code == code


def test_what_is_closed_stands_in_order_and_apart() -> None:
    """An address, a subnet, a span and the gateway, overlapping or side by side."""
    part = {"subnet": WIDE, "exclude": ["10.1.0.64/26", "10.1.0.9", "10.1.0.10-10.1.0.70", "10.1.0.255"]}
    ((only,),) = (pool.ranges for pool in parsed([part]))
    base = int(ip_address("10.1.0.0"))
    assert [(low - base, high - base) for low, high in only.closed] == [(1, 1), (9, 127), (255, 255)]
    assert [only.behind(base + number) - base for number in (0, 1, 8, 9, 100, 127, 128)] == [
        0,
        2,
        8,
        128,
        128,
        128,
        128,
    ]
    assert only.size == 254 - 1 - 119
    given_out = [number for number in range(256) if only.gives(ip_address(base + number))]
    assert given_out == [*range(2, 9), *range(128, 255)]


@pytest.mark.parametrize(
    ("exclude", "code", "says"),
    [
        pytest.param(["10.2.0.1"], 7, "10.2.0.1", id="outside"),
        pytest.param(["10.1.0.0/23"], 7, "10.1.0.0/23", id="wider"),
        pytest.param(["10.1.0.4/24"], 7, "host bits", id="host-bits"),
        pytest.param(["10.1.0.9-10.1.0.4"], 7, "before it begins", id="backwards"),
        pytest.param(["10.1.0.250-10.1.1.4"], 7, "10.1.1.4", id="over-the-end"),
        pytest.param(["fd01::1"], 7, "fd01::1", id="of-another-family"),
        pytest.param(["10.1.0.1-"], 7, "exclude", id="no-end"),
        pytest.param(["x"], 7, "exclude", id="no-address"),
        pytest.param("10.1.0.4", 6, "exclude", id="no-list"),
        pytest.param([4], 6, "exclude", id="a-number"),
    ],
)
def test_what_cannot_be_excluded_is_refused(exclude: Any, code: int, says: str) -> None:
    """With the key and the value."""
    with pytest.raises(CniError, match=says) as caught:
        parsed([{"subnet": WIDE, "exclude": exclude}])
    assert caught.value.code == code


def test_a_key_of_a_range_that_nobody_carries_out_is_named() -> None:
    """In `ranges` and of the runtime."""
    body: Any = {"ranges": [[{"subnet": NET, "RANGESTART": "10.1.0.5", "exclude": None}]]}
    assert ranges.undeclared(body, [], ranges.KEYS) is None
    assert ranges.undeclared(body, [[{"exclude": []}]], ranges.KEYS) == "key 'exclude' of a range ([]) is not known"
    assert (
        ranges.undeclared({"ranges": [[{"wheels": 4}]]}, [], ranges.KEYS) == "key 'wheels' of a range (4) is not known"
    )


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(None, "2 3 4 5 6 7 8", id="from-the-start"),
        pytest.param("10.1.0.3", "4 5 6 7 8 2 3", id="behind-the-last"),
        pytest.param("10.1.0.6", "7 8 2 3 4 5 6", id="into-the-next-range"),
        pytest.param("10.1.0.8", "2 3 4 5 6 7 8", id="round"),
        pytest.param("10.9.0.1", "2 3 4 5 6 7 8", id="foreign"),
    ],
)
def test_addresses_come_in_turn(after: str | None, expected: str) -> None:
    """Each once; the gateway never."""
    first = {"subnet": "10.1.0.0/28", "rangeEnd": "10.1.0.6"}
    second = {"subnet": "10.1.0.0/28", "rangeStart": "10.1.0.7", "rangeEnd": "10.1.0.8"}
    (pool,) = parsed([first, second])
    order = ranges.addresses(pool, ip_address(after) if after else None)
    assert [str(address) for address, _ in order] == [f"10.1.0.{last}" for last in expected.split()]


@given(st.integers(min_value=0, max_value=15))
def test_every_start_gives_every_address_once(last: int) -> None:
    """Wherever the turn begins."""
    (pool,) = parsed([{"subnet": "10.1.0.0/28"}])
    given_out = [address for address, _ in ranges.addresses(pool, ip_address(f"10.1.0.{last}"))]
    assert sorted(given_out) == [ip_address(f"10.1.0.{number}") for number in range(2, 15)]


def test_a_huge_range_is_not_walked() -> None:
    """Sixteen million addresses and more: the first ones come at once."""
    (pool,) = parsed([{"subnet": "fd01::/16"}])
    assert [str(address) for address, _ in islice(ranges.addresses(pool, None), 2)] == ["fd01::2", "fd01::3"]
