# SPDX-License-Identifier: Apache-2.0
"""metacni-ipam beside the reference's host-local: a network moves over by its type, and every key keeps its meaning."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from tests.contract.twins import Twin

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("host-local")

V4: Final = [{"subnet": "10.1.0.0/24"}]
V6: Final = [{"subnet": "fd01::/64"}]


def only(**keys: Any) -> dict[str, Any]:
    """One range."""
    return {"ranges": [[{"subnet": "10.1.0.0/24"} | keys]]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A part under `ipam`, and more beside it; `code` is ours where both refuse it, `says` what our message names."""

    part: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)
    args: str = ""
    code: int = 0
    says: str = ""

    def config(self, kind: str) -> dict[str, Any]:
        """For one of the two."""
        ipam = {"type": kind, "dataDir": "@DATA@"} | self.part
        return {"cniVersion": "1.1.0", "name": "net", "type": "x", "ipam": ipam} | self.more


GOOD: Final = {
    "one-range": Row(part={"ranges": [V4]}),
    "the-old-form": Row(part={"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "gateway": "10.1.0.254"}),
    "the-old-form-and-ranges": Row(part={"subnet": "10.2.0.0/24", "ranges": [V4]}),
    "dual-stack": Row(part={"ranges": [V4, V6]}),
    "ipv6-first": Row(part={"ranges": [V6, V4]}),
    "two-of-a-family": Row(part={"ranges": [V4, [{"subnet": "10.2.0.0/16"}]]}),
    "a-huge-subnet": Row(part={"ranges": [[{"subnet": "10.0.0.0/8"}]]}),
    "bounds": Row(part=only(rangeStart="10.1.0.9", rangeEnd="10.1.0.99")),
    "start-at-the-network": Row(part=only(rangeStart="10.1.0.0")),
    "start-at-the-gateway": Row(part=only(rangeStart="10.1.0.1")),
    "another-gateway": Row(part=only(gateway="10.1.0.2")),
    "small": Row(part={"ranges": [[{"subnet": "10.1.0.0/30"}]]}),
    "routes": Row(part={"ranges": [V4], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}]}),
    "keys-in-any-case": Row(part={"RANGES": [[{"Subnet": "10.1.0.0/24", "RangeStart": "10.1.0.9"}]]}),
    "ranges-of-the-runtime": Row(part={"ranges": [V4]}, more={"runtimeConfig": {"ipRanges": [V6]}}),
    "ips-of-the-runtime": Row(
        part={"ranges": [V4, V6]}, more={"runtimeConfig": {"ips": ["fd01::50/120", "10.1.0.50"]}}
    ),
    "ips-of-args": Row(part={"ranges": [V4]}, more={"args": {"cni": {"ips": ["10.1.0.51/24"]}}}),
    "ip-of-cni-args": Row(part={"ranges": [V4]}, args="IgnoreUnknown=1;IP=10.1.0.52;K8S_POD_NAME=p"),
    "version-0.2.0": Row(part={"ranges": [V4, V6]}, more={"cniVersion": "0.2.0"}),
    "version-0.4.0": Row(part={"ranges": [V4]}, more={"cniVersion": "0.4.0"}),
}

BAD: Final = {
    "no-range": Row(part={"ranges": []}, code=7, says="range"),
    "empty-set": Row(part={"ranges": [[]]}, code=7, says="range set 0"),
    "host-bits": Row(part={"ranges": [[{"subnet": "10.1.0.1/24"}]]}, code=7, says="10.1.0.1/24"),
    "too-small": Row(part={"ranges": [[{"subnet": "10.1.0.0/31"}]]}, code=7, says="10.1.0.0/31"),
    "start-outside": Row(part=only(rangeStart="10.2.0.1"), code=7, says="10.2.0.1"),
    "end-before-start": Row(part=only(rangeStart="10.1.0.9", rangeEnd="10.1.0.5"), code=7, says="rangeEnd"),
    "families-mixed": Row(part={"ranges": [[*V4, *V6]]}, code=7, says="mixes"),
    "sets-overlap": Row(part={"ranges": [V4, V4]}, code=7, says="overlaps"),
    "request-outside": Row(
        part={"ranges": [V4]}, more={"runtimeConfig": {"ips": ["10.9.0.1"]}}, code=7, says="10.9.0.1"
    ),
    "request-the-gateway": Row(
        part={"ranges": [V4]}, more={"runtimeConfig": {"ips": ["10.1.0.1"]}}, code=7, says="gateway"
    ),
    "request-two-of-one-set": Row(
        part={"ranges": [V4]}, more={"runtimeConfig": {"ips": ["10.1.0.5", "10.1.0.6"]}}, code=7, says="10.1.0.6"
    ),
    "nothing-but-the-gateway": Row(part=only(rangeStart="10.1.0.1", rangeEnd="10.1.0.1"), code=7, says="no address"),
    "two-of-a-family-in-0.2.0": Row(
        part={"ranges": [V4, [{"subnet": "10.2.0.0/24"}]]}, more={"cniVersion": "0.2.0"}, code=7, says="family"
    ),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in GOOD.items()])
def test_both_give_the_same(pair: Pair, row: Row) -> None:
    """The first address, after its DEL another one (where there is one), and CHECK's verdict in between."""
    told = []
    for twin, kind in zip(pair("eth0"), ("host-local", "metacni-ipam"), strict=True):
        config = row.config(kind)
        added = [twin.call("ADD", config, row.args, type_=kind)]
        has_check = config["cniVersion"] != "0.2.0"
        if has_check:
            assert twin.call("CHECK", config | {"prevResult": added[0].body}, row.args, type_=kind).status == 0
        for _ in range(2):
            assert twin.call("DEL", config, row.args, type_=kind).status == 0
        if has_check:
            assert twin.call("CHECK", config | {"prevResult": added[0].body}, row.args, type_=kind).status == 1
        added.append(replace(twin, container="c2").call("ADD", config, row.args, type_=kind))
        assert added[0].status == added[1].status == 0
        told.append([answer.body for answer in added])
    assert told[1] == told[0]


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in BAD.items()])
def test_both_refuse_the_same(pair: Pair, row: Row) -> None:
    """Ours with the specification's code and the culprit's name."""
    reference, ours = pair("eth0")
    assert reference.call("ADD", row.config("host-local"), row.args, type_="host-local").status == 1
    answer = ours.call("ADD", row.config("metacni-ipam"), row.args, type_="metacni-ipam")
    assert (answer.status, answer.code) == (1, row.code), answer.body
    assert row.says in answer.body["msg"]


def test_a_gateway_outside_its_subnet_ours_refuses(pair: Pair) -> None:
    """On purpose: the reference tells it, and no pod can reach it."""
    reference, ours = pair("eth0")
    row = Row(part=only(gateway="10.2.0.1"))
    assert reference.call("ADD", row.config("host-local"), type_="host-local").status == 0
    answer = ours.call("ADD", row.config("metacni-ipam"), type_="metacni-ipam")
    assert (answer.code, "10.2.0.1" in answer.body["msg"]) == (7, True)


def test_an_address_rests_longer_with_ours(pair: Pair) -> None:
    """On purpose: where the reference's turn comes round it gives what was just given back, ours what waits longest."""
    told = []
    for twin, kind in zip(pair("eth0"), ("host-local", "metacni-ipam"), strict=True):
        config = Row(part={"ranges": [[{"subnet": "10.1.0.0/29"}]]}).config(kind)
        steps = ["ADD a", "ADD b", "ADD c", "ADD d", "ADD e", "DEL d", "DEL a", "ADD f"]
        answers = [replace(twin, container=name).call(verb, config, type_=kind) for verb, name in map(str.split, steps)]
        told.append(answers[-1].body["ips"][0]["address"])
    assert told == ["10.1.0.2/29", "10.1.0.5/29"]


def test_a_requested_address_that_is_ones_own_is_told_again(pair: Pair) -> None:
    """On purpose (F46): an answer that was lost on its way; the reference says that it is taken."""
    told = []
    for twin, kind in zip(pair("eth0"), ("host-local", "metacni-ipam"), strict=True):
        config = Row(part={"ranges": [V4]}, more={"runtimeConfig": {"ips": ["10.1.0.50"]}}).config(kind)
        told.append([twin.call("ADD", config, type_=kind).status for _ in range(2)])
    assert told == [[0, 1], [0, 0]]
