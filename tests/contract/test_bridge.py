# SPDX-License-Identifier: Apache-2.0
"""Our bridge and host-local beside the reference plugins: same answer, same kernel, same leases."""

from collections.abc import Callable

import pytest

from tests.contract.cases import BAD, CASES, V4, V6, Bad, Case, ipam, net
from tests.contract.twins import Twin, settled
from tests.kernel.conftest import run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("network namespaces", "bridge", "host-local", "static")


def prepared(twin: Twin, before: tuple[str, ...]) -> Twin:
    """Have these commands of `ip` run on the node."""
    for command in before:
        twin.host.run("ip", *command.split())
    return twin


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL and one more DEL: at each step result, links, addresses, routes and leases are the same."""
    reference, ours = (prepared(twin, case.before) for twin in pair(case.ifname))
    results, states, after = [], [], []
    for twin in (reference, ours):
        added = twin.call("ADD", case.config, case.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        states.append(twin.state())
        done = case.config | {"prevResult": added.body}
        if case.check:
            assert twin.call("CHECK", done, case.args).body == {}
        for _ in range(2):
            assert twin.call("DEL", done, case.args).body == {}
        after.append(settled(twin.state()))
    assert results[1] == results[0]
    assert states[1] == states[0]
    assert after[1] == after[0]
    assert run_ip(ours.pod, "link")[1:] == []


SABOTAGE = {
    "address-taken": ("pod", "address del 10.1.0.2/24 dev eth0"),
    "other-prefix": ("pod", "address change 10.1.0.2/25 dev eth0"),
    "ipv6-address-taken": ("pod", "address del fd01::2/64 dev eth0"),
    "default-route-taken": ("pod", "route del default"),
    "default-route-another": ("pod", "route replace default via 10.1.0.99"),
    "route-taken": ("pod", "route del 10.200.0.0/16"),
    "route-another-gateway": ("pod", "route replace 10.200.0.0/16 via 10.1.0.99"),
    "link-down": ("pod", "link set eth0 down"),
    "interface-gone": ("pod", "link del eth0"),
    "interface-renamed": ("pod", "link set eth0 down name eth9"),
    "mac-changed": ("pod", "link set eth0 address 02:00:5e:00:00:77"),
    "bridge-gone": ("host", "link del br1"),
    "bridge-mac-changed": ("host", "link set br1 address 02:00:5e:00:00:77"),
    "not-promiscuous": ("host", "link set br1 promisc off"),
    "port-taken-out": ("host", "link set VETH nomaster"),
    "port-mac-changed": ("host", "link set VETH address 02:00:5e:00:00:77"),
    "more-addresses": ("pod", "address add 10.1.0.200/24 dev eth0"),
    "more-routes": ("pod", "route add 10.77.0.0/16 via 10.1.0.1"),
    "nothing": ("pod", "link show"),
}
WATCHED = net(
    isDefaultGateway=True,
    promiscMode=True,
    ipam=ipam(ranges=[*V4, *V6], routes=[{"dst": "10.200.0.0/16", "gw": "10.1.0.1"}]),
)


@pytest.mark.parametrize(("where", "command"), [pytest.param(*row, id=name) for name, row in SABOTAGE.items()])
def test_both_judge_the_same_sabotage_alike(pair: Pair, where: str, command: str) -> None:
    """What the one's CHECK finds wrong the other's does, and what it lets pass, too."""
    verdicts = []
    for twin in pair("eth0"):
        added = twin.call("ADD", WATCHED)
        text = command.replace("VETH", added.body["interfaces"][1]["name"])
        (twin.pod if where == "pod" else twin.host).run("ip", *text.split())
        verdicts.append(twin.call("CHECK", WATCHED | {"prevResult": added.body}).status)
    assert verdicts[1] == verdicts[0]


@pytest.mark.parametrize(
    "prev",
    [
        pytest.param(None, id="missing"),
        pytest.param({"cniVersion": "1.1.0"}, id="empty"),
        pytest.param({"interfaces": [{"name": "br1"}, {"name": "eth0", "sandbox": "/x"}]}, id="elsewhere"),
    ],
)
def test_both_refuse_to_check_without_a_result(pair: Pair, prev: object) -> None:
    """CHECK needs the result of the very attachment; ours says 7."""
    codes = []
    for twin in pair("eth0"):
        twin.call("ADD", net())
        codes.append(twin.call("CHECK", net() if prev is None else net(prevResult=prev)).code)
    assert codes[0] != 0
    assert codes[1] == 7


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD.items()])
def test_both_refuse_the_same(pair: Pair, bad: Bad) -> None:
    """What the reference refuses ours does, with the specification's code, the culprit's name, and nothing left."""
    reference, ours = pair("eth0")
    assert reference.call("ADD", bad.config, bad.args).status != 0
    answer = ours.call("ADD", bad.config, bad.args)
    assert (answer.status, answer.code) == (1, bad.code), answer.body
    assert bad.says in answer.body["msg"] + answer.body.get("details", "")
    assert run_ip(ours.pod, "link")[1:] == []
    assert [link["ifname"] for link in run_ip(ours.host, "link") if link["ifname"] != "br1"] == ["lo"]
    assert [name for name in ours.leases() if name != "lock" and not name.startswith("last")] == []


TAKEN = {
    "bridge-is-no-bridge": (("link add br1 type ifb",), {}, 7),
    "bridge-has-another-address": (("link add br1 type bridge", "address add 10.9.0.1/24 dev br1"), {}, 7),
    "bridge-has-the-ipv6-subnet": (
        ("link add br1 type bridge", "link set br1 up", "address add fd01::9/64 dev br1 nodad"),
        {"ipam": ipam(ranges=[[{"subnet": "fd01::/64"}]])},
        7,
    ),
    "two-addresses-two-gateways": ((), {"ipam": ipam(ranges=[*V4, [{"subnet": "10.2.0.0/24"}]])}, 7),
    "the-same-default-route-twice": ((), {"isDefaultGateway": True, "ipam": ipam(routes=[{"dst": "0.0.0.0/0"}])}, 5),
}  # fmt: skip


@pytest.mark.parametrize(("before", "keys", "code"), [pytest.param(*row, id=name) for name, row in TAKEN.items()])
def test_both_fail_on_the_same_node(
    pair: Pair, before: tuple[str, ...], keys: dict[str, object], code: int
) -> None:  # fmt: skip
    """A node that cannot carry it: both fail, and of ours neither a cable nor a lease is left."""
    reference, ours = (prepared(twin, before) for twin in pair("eth0"))
    config = net(isGateway=True) | keys
    assert reference.call("ADD", config).status != 0
    answer = ours.call("ADD", config)
    assert (answer.status, answer.code) == (1, code), answer.body
    assert run_ip(ours.pod, "link")[1:] == []
    assert [link["ifname"] for link in run_ip(ours.host, "link") if link["ifname"] not in ("lo", "br1")] == []
    assert [name for name in ours.leases() if name.startswith(("10.", "fd"))] == []


def test_both_refuse_an_interface_that_is_there(pair: Pair) -> None:
    """A second ADD without a DEL fails, and leaves the first one whole: the cable works and the lease stands."""
    for twin in pair("eth0"):
        first = twin.call("ADD", net(isGateway=True))
        before = twin.state() if twin.ours else None
        assert twin.call("ADD", net(isGateway=True)).status == 1
        if twin.ours:
            assert twin.state() == before
            assert twin.call("CHECK", net(isGateway=True, prevResult=first.body)).status == 0


def test_our_bridge_lets_a_layer_2_attachment_pass_its_check(pair: Pair) -> None:
    """The reference asks an IPAM that is not there, and fails; ours looks at the cable."""
    _, ours = pair("eth0")
    config = net(ipam=None)
    done = config | {"prevResult": ours.call("ADD", config).body}
    assert ours.call("CHECK", done).status == 0
    ours.host.run("ip", "link", "set", done["prevResult"]["interfaces"][1]["name"], "nomaster")
    assert ours.call("CHECK", done).code == 999
