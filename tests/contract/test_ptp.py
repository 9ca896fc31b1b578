# SPDX-License-Identifier: Apache-2.0
"""Our ptp beside the reference's: same answer, same kernel, same leases."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.cases import V4, V6, Bad, Case, ipam
from tests.contract.cases_ptp import BAD, CASES, net, static
from tests.contract.twins import Answer, Twin
from tests.kernel.conftest import fresh_namespace, run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
_VETH = re.compile(r"veth[0-9a-f]{8}")
_EMPTY = re.compile(r"table ip6? nat \{\n\}\n")  # the reference's DEL asks iptables, which makes them when it looks
pytestmark = pytest.mark.part("network namespaces", "ptp", "host-local", "static")


def call(twin: Twin, verb: str, config: dict[str, Any], args: str = "") -> Answer:
    """One operation of ptp."""
    return twin.call(verb, config, args, type_="ptp")


def carried(twin: Twin) -> None:
    """Wait for the kernel to see that both ends are up: ours does, the reference may be a moment too quick."""
    end = time.monotonic() + 2
    while any("NO-CARRIER" in link["flags"] for side in (twin.host, twin.pod) for link in run_ip(side, "link")):
        assert time.monotonic() < end
        time.sleep(0.01)


def state(twin: Twin) -> dict[str, Any]:
    """What both have to leave behind alike, the rules of masquerading too.

    Ours announces addresses (arp_notify) and never waits for duplicates (accept_dad): on purpose.
    """
    carried(twin)
    rules = _EMPTY.sub("", twin.host.run("nft", "-s", "list", "ruleset"))
    found = twin.state() | {"rules": rules}
    settings = found["pod settings"]
    if settings:
        assert settings[:2] == (["1", "0"] if twin.ours else ["0", "1"])
    return found | {"pod settings": settings[2:]}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL and one more DEL: each time result, links, addresses, routes, rules and leases are the same."""
    reference, ours = pair(case.ifname)
    results, states, after = [], [], []
    for twin in (reference, ours):
        for command in case.before:
            twin.host.run("ip", *command.split())
        added = call(twin, "ADD", case.config, case.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        states.append(state(twin))
        done = case.config | {"prevResult": added.body}
        if case.check:
            assert call(twin, "CHECK", done, case.args).body == {}
        for _ in range(2):
            assert call(twin, "DEL", done, case.args).body == {}
        after.append(state(twin))
    assert results[1] == results[0]
    assert states[1] == states[0]
    assert after[1] == after[0]
    assert run_ip(ours.pod, "link")[1:] == []


SABOTAGE = {
    "address-taken": ("pod", "address del 10.1.0.2/24 dev eth0"),
    "other-prefix": ("pod", "address change 10.1.0.2/25 dev eth0"),
    "ipv6-address-taken": ("pod", "address del fd01::2/64 dev eth0"),
    "default-route-taken": ("pod", "route del default"),
    "route-taken": ("pod", "route del 10.200.0.0/16"),
    "route-another-gateway": ("pod", "route replace 10.200.0.0/16 via 10.1.0.99 onlink dev eth0"),
    "route-to-the-subnet-taken": ("pod", "route del 10.1.0.0/24"),
    "route-to-the-gateway-taken": ("pod", "route del 10.1.0.1"),
    "link-down": ("pod", "link set eth0 down"),
    "interface-gone": ("pod", "link del eth0"),
    "interface-renamed": ("pod", "link set eth0 down name eth9"),
    "mac-changed": ("pod", "link set eth0 address 02:00:5e:00:00:77"),
    "node-end-gone": ("host", "link del VETH"),
    "node-end-down": ("host", "link set VETH down"),
    "node-address-taken": ("host", "address del 10.1.0.1/32 dev VETH"),
    "node-route-taken": ("host", "route del 10.1.0.2"),
    "more-addresses": ("pod", "address add 10.1.0.200/24 dev eth0"),
    "more-routes": ("pod", "route add 10.77.0.0/16 via 10.1.0.1"),
    "nothing": ("pod", "link show"),
}
WATCHED = net(ipam=ipam(ranges=[*V4, *V6], routes=[{"dst": "0.0.0.0/0"}, {"dst": "10.200.0.0/16", "gw": "10.1.0.1"}]))


@pytest.mark.parametrize(("where", "command"), [pytest.param(*row, id=name) for name, row in SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(pair: Pair, where: str, command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    verdicts = []
    for twin in pair("eth0"):
        added = call(twin, "ADD", WATCHED)
        text = command.replace("VETH", added.body["interfaces"][0]["name"])
        (twin.pod if where == "pod" else twin.host).run("ip", *text.split())
        verdicts.append(call(twin, "CHECK", WATCHED | {"prevResult": added.body}).status)
    assert verdicts[1] == verdicts[0]


@pytest.mark.parametrize(
    "prev",
    [
        pytest.param(None, id="missing"),
        pytest.param({"cniVersion": "1.1.0"}, id="empty"),
        pytest.param({"interfaces": [{"name": "veth0"}, {"name": "eth0", "sandbox": "/x"}]}, id="elsewhere"),
    ],
)
def test_both_refuse_to_check_without_a_result(pair: Pair, prev: object) -> None:
    """CHECK needs the result of the very attachment; ours says 7."""
    codes = []
    for twin in pair("eth0"):
        call(twin, "ADD", net())
        codes.append(call(twin, "CHECK", net() if prev is None else net(prevResult=prev)).code)
    assert codes[0] != 0
    assert codes[1] == 7


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(pair: Pair, bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing left."""
    reference, ours = pair("eth0")
    assert call(reference, "ADD", bad.config, bad.args).status != 0
    answer = call(ours, "ADD", bad.config, bad.args)
    assert (answer.status, answer.code) == (1, bad.code), answer.body
    assert bad.says in answer.body["msg"] + answer.body.get("details", "")
    assert run_ip(ours.pod, "link")[1:] == run_ip(ours.host, "link")[1:] == []
    assert [name for name in ours.leases() if name != "lock" and not name.startswith("last")] == []


@pytest.mark.parametrize(
    "removed", [pytest.param(True, id="namespace-gone"), pytest.param(False, id="no-namespace-named")]
)
def test_both_release_without_a_namespace(pair: Pair, removed: bool) -> None:  # noqa: FBT001 - a row
    """The address comes back, and both say it is done; ours takes the rules along, which the reference leaves (E20)."""
    config = net(ipMasq=True, ipMasqBackend="nftables")
    for twin in pair("eth0"):
        assert call(twin, "ADD", config).status == 0
        twin.pod.run("ip", "link", "del", "eth0")
        gone = "/run/netns/is-gone" if removed else ""
        twin.more["CNI_NETNS"] = gone
        for _ in range(2):
            assert call(twin, "DEL", config).body == {}
        assert [name for name in twin.leases() if name.startswith("10.")] == []
        assert ("masquerade comment" in twin.host.run("nft", "list", "ruleset")) != twin.ours


def test_two_pods_beside_each_other(pair: Pair) -> None:
    """The gateway's address stands on each cable, and each pod has its route; the second one's DEL leaves the first."""
    states = []
    for twin in pair("eth0"):
        with fresh_namespace() as other:
            assert call(twin, "ADD", net()).status == 0
            twin.more.update({"CNI_NETNS": str(other.path), "CNI_CONTAINERID": "c2"})
            assert call(twin, "ADD", net()).status == 0
            states.append(state(twin))
            assert "1 received" in other.run("ping", "-c", "1", "-W", "1", "10.1.0.1")
            assert call(twin, "DEL", net()).status == 0
            states.append(state(twin))
    assert states[2:] == states[:2]


def test_both_refuse_a_second_cable_to_the_same_gateway(pair: Pair) -> None:
    """Packets of one pod to one gateway go one way; the first attachment stays whole."""
    for twin in pair("eth0"):
        first = call(twin, "ADD", net())
        twin.more["CNI_IFNAME"] = "eth1"
        second = call(twin, "ADD", net())
        assert second.code == (7 if twin.ours else 999)
        if twin.ours:
            assert second.body["msg"] == "cannot add route '10.1.0.1/32' to interface 'eth1': there is one already"
            assert [link["ifname"] for link in run_ip(twin.pod, "link")] == ["lo", "eth0"]
            assert len(run_ip(twin.host, "link")) == 2
        twin.more["CNI_IFNAME"] = "eth0"
        assert call(twin, "CHECK", net(prevResult=first.body)).body == {}


def test_several_addresses_may_share_a_gateway(pair: Pair) -> None:
    """The reference fails on its own second step; ours adds what is not there yet."""
    config = net(ipam=static(("10.1.0.5/24", "10.1.0.1"), ("10.1.0.6/24", "10.1.0.1"), ("10.2.0.6/24", "10.1.0.1")))
    reference, ours = pair("eth0")
    assert call(reference, "ADD", config).status == 1
    added = call(ours, "ADD", config)
    assert added.status == 0, added.body
    assert call(ours, "CHECK", config | {"prevResult": added.body}).body == {}
    for address in ("10.1.0.5", "10.1.0.6", "10.2.0.6"):
        ours.host.run("ping", "-c", "1", "-W", "1", address)


def test_an_address_that_another_cable_has_is_refused(pair: Pair) -> None:
    """The reference succeeds, and the second pod is never reached; ours says so, and undoes."""
    config = net(ipam=static(("10.1.0.5/24", "10.1.0.1")))
    verdicts = []
    for twin in pair("eth0"):
        with fresh_namespace() as other:
            assert call(twin, "ADD", config).status == 0
            twin.more.update({"CNI_NETNS": str(other.path), "CNI_CONTAINERID": "c2"})
            verdicts.append(call(twin, "ADD", config).code)
            if twin.ours:
                assert run_ip(other, "link")[1:] == []
                assert len(run_ip(twin.host, "link")) == 2
    assert verdicts == [0, 7]


BEHIND: dict[str, dict[str, Any]] = {
    "portmap": {
        "backend": "nftables",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
    },
    "bandwidth": {"ingressRate": 1000000, "ingressBurst": 80000, "egressRate": 1000000, "egressBurst": 80000},
    "firewall": {"backend": "iptables"},
    "tuning": {"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}, "mac": "02:00:5e:00:00:03"},
}


@pytest.mark.part("portmap", "bandwidth", "firewall", "tuning")
@pytest.mark.parametrize("type_", BEHIND)
def test_the_real_plugins_work_behind_ours(pair: Pair, type_: str) -> None:
    """They find in our result what they look for, and leave on node and pod what they leave behind the reference."""
    seen = []
    for twin in pair("eth0"):
        added = call(twin, "ADD", net())
        theirs = replace(twin, ours=False)
        config = {"cniVersion": "1.1.0", "name": "net", "type": type_} | BEHIND[type_]
        after = theirs.call("ADD", config | {"prevResult": added.body}, type_=type_)
        assert after.status == 0, after.body
        done = config | {"prevResult": after.body}
        assert theirs.call("CHECK", done, type_=type_).body == {}
        ruled = [_VETH.sub("veth", twin.host.run(*shown)) for shown in (("nft", "list", "ruleset"), ("tc", "qdisc"))]
        seen.append((twin.alike(after.body), state(twin)["host"], state(twin)["pod"], ruled))
        assert theirs.call("DEL", done, type_=type_).body == {}
        assert call(twin, "DEL", net()).body == {}
    assert seen[1] == seen[0]
