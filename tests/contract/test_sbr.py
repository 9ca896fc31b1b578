# SPDX-License-Identifier: Apache-2.0
"""Our sbr beside the reference plugin: same answer, same routes and rules."""

import fcntl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.cases_sbr import BAD, CASES, OTHER_LINK, V4, Bad, Case, net, v4
from tests.contract.chained import Link, Pair, attach, state
from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import run_ip

pytestmark = pytest.mark.part("network namespaces", "sbr")


def call(twin: Twin, verb: str, config: dict[str, Any]) -> Answer:
    """One operation of sbr."""
    return twin.call(verb, config, type_="sbr")


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL and one more DEL: at each step result, routes and rules are the same."""
    results, states = [], []
    for twin in pair(case.ifname):
        config = case.config | {"prevResult": attach(twin, case.link, case.config["cniVersion"]) | case.prev}
        rules = state(twin)["rules"]
        added = call(twin, "ADD", config)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        steps = [state(twin)]
        done = config | {"prevResult": added.body}
        if case.check:
            assert call(twin, "CHECK", done).body == {}
        for _ in range(2):
            assert call(twin, "DEL", done).body == {}
            steps.append(state(twin))
        assert state(twin)["rules"] == rules
        states.append(steps)
    assert results[1] == results[0]
    assert states[1] == states[0]


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(pair: Pair, bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing changed."""
    for twin in pair("eth0"):
        prev = attach(twin, bad.link)
        config = bad.config | ({"prevResult": prev | bad.prev} if bad.prev is not None else {})
        before = state(twin)
        answer = call(twin, "ADD", config)
        assert answer.status != 0
        if twin.ours:
            assert (answer.status, answer.code) == (1, bad.code), answer.body
            assert bad.says in answer.body["msg"] + answer.body.get("details", "")
            assert state(twin) == before


def test_both_refuse_an_interface_that_is_not_there(pair: Pair) -> None:
    """Ours says 7, and names it."""
    for twin in pair("eth0"):
        prev = attach(twin, V4)
        twin.pod.run("ip", "link", "del", "eth0")
        answer = call(twin, "ADD", net(prevResult=prev))
        assert answer.status == 1
        if twin.ours:
            assert (answer.code, "'eth0'" in answer.body["msg"]) == (7, True)


def test_both_refuse_a_second_add(pair: Pair) -> None:
    """Ours leaves the first one whole."""
    codes = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, V4))
        call(twin, "ADD", config)
        before = state(twin)
        codes.append(call(twin, "ADD", config).code)
        assert not twin.ours or state(twin) == before
    assert codes == [999, 7]


def test_both_take_the_same_lock(pair: Pair) -> None:
    """That of the namespace, so that two ADDs in one pod do not choose the same table; ours does not wait for ever."""
    reference, ours = pair("eth0")
    prevs = [attach(twin, V4) for twin in (reference, ours)]
    with reference.pod.path.open() as one, ours.pod.path.open() as two, ThreadPoolExecutor(1) as pool:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(two, fcntl.LOCK_EX)
        waiting = pool.submit(call, reference, "ADD", net(prevResult=prevs[0]))
        answer = call(ours, "ADD", net(prevResult=prevs[1]))
        assert (answer.code, "lock" in answer.body["msg"]) == (11, True)
        assert not waiting.done()
        fcntl.flock(one, fcntl.LOCK_UN)
        assert waiting.result(10).status == 0


# ---- where ours differs on purpose


def test_our_table_is_nobody_elses(pair: Pair) -> None:
    """The reference looks for rules alone, and puts its routes between those of another in table 100."""
    tables = []
    for twin in pair("eth0"):
        prev = attach(twin, v4(*OTHER_LINK, "route add default via 10.9.0.1 dev net9 table 100 metric 5"))
        assert call(twin, "ADD", net(prevResult=prev)).status == 0
        tables.append([rule["table"] for rule in run_ip(twin.pod, "rule") if rule["src"] == "10.1.0.2"])
    assert tables == [["100"], ["101"]]


@pytest.mark.parametrize(
    ("route", "family"),
    [
        pytest.param("route add default via fe80::1 dev eth0", "-6", id="link-local-gateway"),
        pytest.param("route add 10.200.0.0/16 via 10.66.0.1 dev eth0 onlink", "-4", id="gateway-beyond-the-subnet"),
    ],
)
def test_our_routes_are_not_lost(pair: Pair, route: str, family: str) -> None:
    """One whose gateway is in no address's subnet goes along; the reference deletes it from everywhere."""
    left = []
    for twin in pair("eth0"):
        link = Link(gateways=("", ""), before=(route,))
        assert call(twin, "ADD", net(prevResult=attach(twin, link))).status == 0
        found = run_ip(twin.pod, family, "route", "show", "table", "all")
        left.append([each["table"] for each in found if each.get("gateway", "").startswith(("fe80::1", "10.66"))])
    assert left == [[], ["101" if family == "-6" else "100"]]


def test_our_check_finds_a_rule_that_is_gone(pair: Pair) -> None:
    """The reference's looks at nothing; without a rule the pod answers from the wrong interface."""
    verdicts = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, V4))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        twin.pod.run("ip", "rule", "del", "from", "10.1.0.2")
        verdicts.append(call(twin, "CHECK", done).code)
    assert verdicts == [0, 999]


def test_our_del_works_when_the_interface_is_gone(pair: Pair) -> None:
    """From the addresses of the result: the reference leaves the rules, and each new life takes a further table."""
    left = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, Link()))
        done = config | {"prevResult": call(twin, "ADD", config).body}
        twin.pod.run("ip", "link", "del", "eth0")
        assert call(twin, "DEL", done).body == {}
        left.append([rule["src"] for family in ("-4", "-6") for rule in run_ip(twin.pod, family, "rule")])
    assert left == [["all", "10.1.0.2", "all", "all", "all", "fd01::2", "all"], ["all"] * 5]


def test_our_del_works_when_the_pod_is_gone(pair: Pair) -> None:
    """The rules went with it; the reference fails, and the runtime asks for ever."""
    codes = []
    for twin in pair("eth0"):
        config = net(prevResult=attach(twin, V4))
        twin.more["CNI_NETNS"] = "/run/netns/mc-test-none"
        codes.append(call(twin, "DEL", config).status)
    assert codes == [1, 0]


def test_our_add_takes_away_what_an_earlier_life_left(pair: Pair) -> None:
    """A rule of the same address that leads to an empty table; the reference adds a second one to the next table."""
    tables = []
    for twin in pair("eth0"):
        prev = attach(twin, v4("rule add from 10.1.0.2 lookup 100"))
        assert call(twin, "ADD", net(prevResult=prev)).status == 0
        tables.append([rule["table"] for rule in run_ip(twin.pod, "rule") if rule["src"] == "10.1.0.2"])
    assert tables == [["101", "100"], ["100"]]


def test_our_rule_to_a_given_table_is_there_once(pair: Pair) -> None:
    """However often it is asked for; the kernel takes one more of the same each time."""
    counts = []
    for twin in pair("eth0"):
        config = net(table=100, prevResult=attach(twin, V4))
        for _ in range(2):
            assert call(twin, "ADD", config).status == 0
        counts.append(len([rule for rule in run_ip(twin.pod, "rule") if rule["src"] == "10.1.0.2"]))
        assert call(twin, "DEL", config).body == {}
        assert [rule["src"] for rule in run_ip(twin.pod, "rule")] == ["all"] * 3
    assert counts == [2, 1]


def test_our_sbr_needs_an_address_of_the_interface(pair: Pair) -> None:
    """With addresses of others alone the reference takes the interface's routes away, and gives it nothing."""
    codes = []
    for twin in pair("eth0"):
        prev = attach(twin, V4) | {
            "interfaces": [{"name": "net9", "sandbox": "/x"}], "ips": [{"address": "10.9.0.2/24", "interface": 0}]
        }  # fmt: skip
        codes.append(call(twin, "ADD", net(prevResult=prev)).code)
    assert codes == [0, 7]
