# SPDX-License-Identifier: Apache-2.0
"""Our ipvlan, vlan and dummy beside the reference's: same answer, same kernel, same leases, verdicts and refusals."""

import pytest

from tests.contract.cases import MACS
from tests.contract.sublinks import (
    PREVIOUS,
    SABOTAGE,
    Pair,
    Refused,
    Row,
    do_the_same,
    judge_alike,
    refuse_the_same,
    refuse_to_check,
    watched,
)
from tests.uml.cases_sublinks import DUMMY, IPVLAN, REFUSED, VLAN, dummy, ipvlan, vlan

pytestmark = pytest.mark.part("host-local", "static")

KINDS = {"ipvlan": (ipvlan, IPVLAN), "vlan": (vlan, VLAN), "dummy": (dummy, DUMMY)}
ON_A_MASTER = {
    "master-renamed": ("host", "link set e0 down; link set e0 name e9"),
    "master-gone": ("host", "link del e0"),
}
OWN_SABOTAGE = {
    "ipvlan": ON_A_MASTER | {"mode-changed": ("pod", "link set eth0 type ipvlan mode l3")},
    "vlan": ON_A_MASTER | {"mac-changed": ("pod", f"link set eth0 address {MACS[2]}")},
    "dummy": {"mac-changed": ("pod", f"link set eth0 address {MACS[2]}")},
}
MTU = {"ipvlan": {"mtu": 1450}, "vlan": {"mtu": 1450}, "dummy": {}}

ROWS = [
    pytest.param(row, id=f"{kind}-{name}", marks=pytest.mark.part(kind))
    for kind, (_, rows) in KINDS.items()
    for name, row in rows.items()
]
SHARED = ("address-taken", "ipv6-route-taken", "link-down", "interface-gone", "mtu-changed", "nothing")
"""What is left of the sabotage that all share: more than that is tried with macvlan, over the same code."""
SABOTAGES = [
    pytest.param(kind, where, command, id=f"{kind}-{name}", marks=pytest.mark.part(kind))
    for kind in KINDS
    for name, (where, command) in ({name: SABOTAGE[name] for name in SHARED} | OWN_SABOTAGE[kind]).items()
]


@pytest.mark.parametrize("row", ROWS)
def test_both_do_the_same(pair: Pair, row: Row) -> None:
    """At each step of an attachment's life."""
    do_the_same(pair, row)


@pytest.mark.parametrize(("kind", "where", "command"), SABOTAGES)
def test_both_judge_the_same_sabotage_alike(pair: Pair, kind: str, where: str, command: str) -> None:
    """CHECK of the one passes where that of the other does."""
    judge_alike(pair, KINDS[kind][0](**MTU[kind], ipam=watched(command)), where, command)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind, marks=pytest.mark.part(kind)) for kind in KINDS])
def test_both_refuse_to_check_the_result_of_another(pair: Pair, kind: str) -> None:
    """The result has to be that of the attachment."""
    refuse_to_check(pair, KINDS[kind][0](), PREVIOUS["elsewhere"])


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in REFUSED.items()])
def test_both_refuse_the_same(pair: Pair, bad: Refused) -> None:
    """And nothing is left of ours."""
    refuse_the_same(pair, bad)
