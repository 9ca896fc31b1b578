# SPDX-License-Identifier: Apache-2.0
"""Our macvlan beside the reference's: same answer, same kernel, same leases, same verdicts, same refusals."""

import pytest

from tests.contract.cases import MACS
from tests.contract.cases_macvlan import REFUSED, ROWS, net
from tests.contract.sublinks import (
    PREVIOUS,
    SABOTAGE,
    Config,
    Pair,
    Refused,
    Row,
    do_the_same,
    judge_alike,
    refuse_the_same,
    refuse_to_check,
    watched,
)

pytestmark = pytest.mark.part("network namespaces", "macvlan", "host-local", "static")

OWN_SABOTAGE = SABOTAGE | {
    "mac-changed": ("pod", f"link set eth0 address {MACS[2]}"),
    "mode-changed": ("pod", "link set eth0 type macvlan mode private"),
    "master-renamed": ("host", "link set e0 down name e9"),
    "master-gone": ("host", "link del e0"),
    "master-down": ("host", "link set e0 down"),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_both_do_the_same(pair: Pair, row: Row) -> None:
    """At each step of an attachment's life."""
    do_the_same(pair, row)


@pytest.mark.parametrize(("where", "command"), [pytest.param(*row, id=name) for name, row in OWN_SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(pair: Pair, where: str, command: str) -> None:
    """CHECK of the one passes where that of the other does."""
    judge_alike(pair, net(mtu=1450, ipam=watched(command)), where, command)


@pytest.mark.parametrize("prev", [pytest.param(prev, id=name) for name, prev in PREVIOUS.items()])
def test_both_refuse_to_check_without_a_result(pair: Pair, prev: Config | None) -> None:
    """The result has to be that of the attachment."""
    refuse_to_check(pair, net(), prev)


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in REFUSED.items()])
def test_both_refuse_the_same(pair: Pair, bad: Refused) -> None:
    """And nothing is left of ours."""
    refuse_the_same(pair, bad)
