# SPDX-License-Identifier: Apache-2.0
"""Masquerading, spoof check and isolation of our bridge beside the reference: the same rules, which either removes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.contract.cases import MACS, V4, V6, Case, ipam, net
from tests.contract.rules import bytecode, rules
from tests.contract.twins import Twin, settled
from tests.kernel.conftest import Namespace, fresh_namespace, run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("network namespaces", "bridge", "host-local")

LONG: Final = "c" * 64  # as containerd's are


def subnet(text: str, **more: Any) -> dict[str, Any]:
    """An IPAM with one range."""
    return ipam(ranges=[[{"subnet": text}]], **more)


def hidden(**more: Any) -> dict[str, Any]:
    """A network with masquerading in nftables."""
    return net(ipMasq=True, ipMasqBackend="nftables", isGateway=True) | more


CASES: Final = {
    "masqueraded": Case(config=hidden()),
    "masqueraded-ipv6": Case(config=hidden(ipam=ipam(ranges=V6))),
    "masqueraded-both": Case(config=hidden(isDefaultGateway=True, ipam=ipam(ranges=[*V4, *V6]))),
    "masqueraded-two-of-a-family": Case(
        config=hidden(isGateway=False, ipam=ipam(ranges=[*V4, [{"subnet": "10.2.0.0/24"}]]))
    ),
    "masqueraded-without-a-gateway": Case(config=hidden(isGateway=False)),
    "prefix-8": Case(config=hidden(ipam=subnet("10.0.0.0/8"))),
    "prefix-16": Case(config=hidden(ipam=subnet("10.1.0.0/16"))),
    "prefix-22": Case(config=hidden(ipam=subnet("10.1.4.0/22"))),
    "prefix-30": Case(config=hidden(ipam=subnet("10.1.0.4/30"))),
    "prefix-32": Case(
        config=hidden(isGateway=False, ipam={"type": "static", "addresses": [{"address": "10.1.0.5/32"}]}),
        check=False,  # no route leads to a network of one address, which both then miss
    ),
    "prefix-61": Case(config=hidden(ipam=subnet("fd01:0:0:8::/61"))),
    "prefix-126": Case(config=hidden(ipam=subnet("fd01::4/126"))),
    "prefix-128": Case(
        config=hidden(isGateway=False, ipam={"type": "static", "addresses": [{"address": "fd01::5/128"}]})
    ),
    "another-name": Case(config=hidden(), ifname="net.17"),
    "nothing-to-hide": Case(config=hidden(isGateway=False, ipam=None), check=False),
    "backend-without-effect": Case(config=net(ipMasqBackend="iptables")),
    "spoof-check": Case(config=net(macspoofchk=True)),
    "spoof-check-of-a-mac": Case(config=net(macspoofchk=True, runtimeConfig={"mac": MACS[0]})),
    "spoof-check-layer-2": Case(config=net(macspoofchk=True, ipam=None), check=False),
    "spoof-check-and-down": Case(
        config=net(macspoofchk=True, ipam=None, disableContainerInterface=True), check=False
    ),
    "isolated": Case(config=net(portIsolation=True)),
    "isolated-and-hairpin": Case(config=net(portIsolation=True, hairpinMode=True)),
    "all-together": Case(
        config=hidden(macspoofchk=True, portIsolation=True, isDefaultGateway=True, ipam=ipam(ranges=[*V4, *V6]))
    ),
}  # fmt: skip


@pytest.fixture
def pods() -> Iterator[Callable[[], Namespace]]:
    """`pods()`: one more pod."""
    with ExitStack() as made:
        yield lambda: made.enter_context(fresh_namespace())


def state(twin: Twin) -> dict[str, Any]:
    """All that both have to leave behind alike."""
    return twin.state() | {"rules": rules(twin)}


@pytest.mark.parametrize("container", ["c1", LONG], ids=["short", "long"])
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_make_the_same_rules(pair: Pair, case: Case, container: str) -> None:
    """And take them away again, leaving what is everybody's."""
    reference, ours = (replace(twin, container=container) for twin in pair(case.ifname))
    results, states, after = [], [], []
    for twin in (reference, ours):
        added = twin.call("ADD", case.config, case.args)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        states.append(state(twin))
        done = case.config | {"prevResult": added.body}
        if case.check:
            assert twin.call("CHECK", done, case.args).body == {}
        for _ in range(2):
            assert twin.call("DEL", done, case.args).body == {}
        after.append(settled(state(twin)))
    assert results[1] == results[0]
    assert states[1] == states[0]
    assert after[1] == after[0]
    assert container not in after[1]["rules"]


FULL: Final = hidden(macspoofchk=True, ipam=ipam(ranges=[*V4, *V6]))
BACKENDS: Final = {
    "nftables": FULL,
    "iptables": FULL | {"ipMasqBackend": "iptables"},
    "of-its-own-choice": {key: value for key, value in FULL.items() if key != "ipMasqBackend"},
}


@pytest.mark.parametrize("pools", [[*V4, *V6], [[{"subnet": "10.1.4.0/22"}], [{"subnet": "fd01:0:0:8::/61"}]]])
def test_the_kernel_runs_the_very_same(pair: Pair, pools: list[Any]) -> None:
    """Not only what `nft` prints: its own expressions, in its own order."""
    config = FULL | {"ipam": ipam(ranges=pools), "runtimeConfig": {"mac": MACS[0]}}
    reference, ours = pair("eth0")
    for twin in (reference, ours):
        assert twin.call("ADD", config).status == 0
    assert len(bytecode(ours)) > 30
    assert bytecode(ours) == bytecode(reference)


def by(twin: Twin, *, ours: bool) -> Twin:
    """The same node and pod, worked on by the other program."""
    return replace(twin, ours=ours)


def is_clean(twin: Twin) -> bool:
    """No rule of a pod's, nor a chain; what the first one made for all may stand."""
    text = rules(twin)
    return not any(word in text for word in ("CNI-", "saddr", "cni-br-iface", "c1"))


@pytest.mark.parametrize("config", [pytest.param(config, id=name) for name, config in BACKENDS.items()])
@pytest.mark.parametrize("times", [1, 2])
def test_ours_removes_what_the_reference_made(pair: Pair, config: dict[str, Any], times: int) -> None:
    """By DEL, also a second one, whichever backend it was."""
    twin, _ = pair("eth0")
    added = twin.call("ADD", config)
    assert added.status == 0, added.body
    assert not is_clean(twin)
    for _ in range(times):
        assert by(twin, ours=True).call("DEL", config | {"prevResult": added.body}).body == {}
    assert is_clean(twin)
    assert run_ip(twin.pod, "link")[1:] == []


@pytest.mark.parametrize("name", ["nftables", "of-its-own-choice"])
def test_the_reference_removes_what_ours_made(pair: Pair, name: str) -> None:
    """Rules, chains and leases."""
    _, twin = pair("eth0")
    added = twin.call("ADD", BACKENDS[name])
    assert added.status == 0, added.body
    assert not is_clean(twin)
    assert by(twin, ours=False).call("DEL", BACKENDS[name] | {"prevResult": added.body}).body == {}
    assert is_clean(twin)


@pytest.mark.parametrize(
    ("maker", "name"),
    [
        pytest.param("ours", "nftables", id="ours"),
        *(pytest.param("reference", name, id=f"reference-{name}") for name in BACKENDS),
    ],
)
def test_a_pod_that_is_gone_leaves_no_rules(pair: Pair, maker: str, name: str) -> None:
    """On purpose unlike the reference, which then gives back the addresses only (E20)."""
    reference, ours = pair("eth0")
    twin = replace(ours if maker == "ours" else reference, more={"CNI_NETNS": ""})
    assert replace(twin, more={}).call("ADD", BACKENDS[name]).status == 0
    twin.pod.run("ip", "link", "del", "eth0")
    assert by(twin, ours=False).call("DEL", BACKENDS[name]).body == {}
    assert not is_clean(twin)
    assert by(twin, ours=True).call("DEL", BACKENDS[name]).body == {}
    assert is_clean(twin)


@pytest.mark.parametrize("config", [pytest.param(config, id=name) for name, config in BACKENDS.items()])
def test_an_edited_configuration_keeps_no_rules(pair: Pair, config: dict[str, Any]) -> None:
    """On purpose unlike the reference: the keys are gone, the rules go nevertheless."""
    twin, _ = pair("eth0")
    assert twin.call("ADD", config).status == 0
    edited = {key: value for key, value in config.items() if key not in ("ipMasq", "ipMasqBackend", "macspoofchk")}
    assert by(twin, ours=True).call("DEL", edited | {"ipMasqBackend": "nonsense", "vlan": "x"}).body == {}
    assert is_clean(twin)


@pytest.mark.parametrize("config", [pytest.param(config, id=name) for name, config in BACKENDS.items()])
def test_ours_collects_what_the_reference_made(pair: Pair, config: dict[str, Any]) -> None:
    """Of attachments that are not valid, and of this network only: the reference collects nothing (E17)."""
    twin, _ = pair("eth0")
    others = [config, config, config | {"name": "net2", "bridge": "br2", "ipam": subnet("10.9.0.0/24")}]
    names = ["c1", "c2", "c3"]
    for container, one in zip(names, others, strict=True):
        assert replace(twin, container=container, ifname=f"eth{container}").call("ADD", one).status == 0
    kept = [rules(twin).count(f"10.1.0.{last}") for last in (2, 3)] + [rules(twin).count("10.9.0.2")]
    assert all(kept)
    twin.host.run("ip", "link", "del", veth_of(twin, "ethc1"))
    valid = [{"containerID": "c2", "ifname": "ethc2"}]
    answer = by(twin, ours=True).call("GC", config | {"cni.dev/valid-attachments": valid})
    assert answer.body == {}
    text = rules(twin)
    assert [text.count("10.1.0.2"), text.count("10.1.0.3"), text.count("10.9.0.2")] == [0, *kept[1:]]
    assert [f"cni-br-iface-{name}" in text for name in names] == [False, True, True]


def veth_of(twin: Twin, ifname: str) -> str:
    """The name of the near end of a cable."""
    index = run_ip(twin.pod, "link", "show", ifname)[0]["link_index"]
    return next(str(link["ifname"]) for link in run_ip(twin.host, "link") if link["ifindex"] == index)


SABOTAGE: Final = {
    "all-flushed": "flush ruleset",
    "entry-flushed": "flush chain inet cni_plugins_masquerade postrouting",
    "addresses-flushed": "flush chain inet cni_plugins_masquerade masq_checks",
    "spoof-entry-flushed": "flush chain bridge nat PREROUTING",
    "spoof-chain-flushed": "flush chain bridge nat cni-br-iface-c1-eth0-mac",
    "spoof-jump-flushed": "flush chain bridge nat cni-br-iface-c1-eth0",
}


@pytest.mark.parametrize("command", [pytest.param(row, id=name) for name, row in SABOTAGE.items()])
@pytest.mark.parametrize("made_by_us", [True, False], ids=["ours", "reference"])
def test_our_check_misses_rules(pair: Pair, command: str, made_by_us: bool) -> None:  # noqa: FBT001
    """On purpose unlike the reference, which looks at no rule: a pod whose spoof check is off is not as it was."""
    reference, ours = pair("eth0")
    twin = ours if made_by_us else reference
    done = FULL | {"prevResult": twin.call("ADD", FULL).body}
    assert by(twin, ours=True).call("CHECK", done).body == {}
    twin.host.run("nft", *command.split())
    assert by(twin, ours=False).call("CHECK", done).body == {}
    assert by(twin, ours=True).call("CHECK", done).code == 999


def test_our_check_knows_the_other_backend(pair: Pair) -> None:
    """What the reference made with iptables is masqueraded, too."""
    twin, _ = pair("eth0")
    config = BACKENDS["of-its-own-choice"]
    done = config | {"prevResult": twin.call("ADD", config).body}
    assert "CNI-" in rules(twin)
    assert by(twin, ours=True).call("CHECK", done).body == {}
    twin.host.run("iptables", "-t", "nat", "-F")
    twin.host.run("iptables", "-t", "nat", "-X")
    twin.host.run("ip6tables", "-t", "nat", "-F")
    twin.host.run("ip6tables", "-t", "nat", "-X")
    assert by(twin, ours=True).call("CHECK", done).code == 999


def test_two_attachments_of_a_pod_keep_their_own(pair: Pair) -> None:
    """The DEL of one leaves the other's rules and cable; both programs agree on what then stands."""
    found = []
    for twin in pair("eth0"):
        second = replace(twin, ifname="eth1")
        results = [one.call("ADD", hidden(macspoofchk=True)).body for one in (twin, second)]
        assert twin.call("DEL", hidden(macspoofchk=True, prevResult=results[0])).body == {}
        found.append(rules(twin))
        assert "10.1.0.3" in found[-1]
        assert second.call("CHECK", hidden(macspoofchk=True, prevResult=results[1])).body == {}
    assert found[0] == found[1]


def test_both_at_once_share_a_node(pair: Pair, pods: Callable[[], Namespace]) -> None:
    """Three pods by each program at the same time, from the first table on; each is taken away by the other."""
    twin, _ = pair("eth0")
    ones = [replace(twin, pod=pods(), container=f"c{at}", ours=at % 2 == 0) for at in range(6)]
    config = hidden(macspoofchk=True)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: one.call("ADD", config), ones))
        assert [answer.body.get("msg") for answer in answers] == [None] * 6
        text = rules(twin)
        assert sorted(text.count(f"saddr 10.1.0.{last} ") for last in range(2, 8)) == [1] * 6
        assert [text.count(f"jump cni-br-iface-c{at}-eth0 ") for at in range(6)] == [1] * 6
        gone = list(pool.map(lambda one: by(one, ours=not one.ours).call("DEL", config), ones))
    assert [answer.body for answer in gone] == [{}] * 6
    assert is_clean(twin)


def lan(**more: Any) -> dict[str, Any]:
    """A network that says what becomes of the default VLAN, as ours wants it."""
    return net(preserveDefaultVlan=False) | more


BAD: Final = {
    "backend-unknown": (hidden(ipMasqBackend="ipvs"), 7, "ipMasqBackend"),
    "backend-empty": (hidden(ipMasqBackend=""), 7, "ipMasqBackend"),
    "backend-a-number": (hidden(ipMasqBackend=1), 6, "ipMasqBackend"),
    "masquerading-as-text": (hidden(ipMasq="true"), 6, "ipMasq"),
    "spoof-check-as-number": (net(macspoofchk=1), 6, "macspoofchk"),
    "isolation-as-text": (net(portIsolation="yes"), 6, "portIsolation"),
    "vlan-negative": (lan(vlan=-1), 7, "vlan"),
    "vlan-too-high": (lan(vlan=4095), 7, "vlan"),
    "vlan-as-text": (lan(vlan="5"), 6, "vlan"),
    "trunk-no-list": (lan(vlanTrunk={"id": 5}), 6, "vlanTrunk"),
    "trunk-of-numbers": (lan(vlanTrunk=[5]), 6, "vlanTrunk"),
    "trunk-id-zero": (lan(vlanTrunk=[{"id": 0}]), 7, "vlanTrunk[0].id"),
    "trunk-id-too-high": (lan(vlanTrunk=[{"id": 1}, {"id": 4095}]), 7, "vlanTrunk[1].id"),
    "trunk-without-max": (lan(vlanTrunk=[{"minID": 5}]), 7, "maxID"),
    "trunk-without-min": (lan(vlanTrunk=[{"maxID": 5}]), 7, "minID"),
    "trunk-min-zero": (lan(vlanTrunk=[{"minID": 0, "maxID": 5}]), 7, "minID"),
    "trunk-max-too-high": (lan(vlanTrunk=[{"minID": 5, "maxID": 4095}]), 7, "maxID"),
    "trunk-upside-down": (lan(vlanTrunk=[{"minID": 6, "maxID": 5}]), 7, "minID"),
    "name-of-the-leg-too-long": (lan(vlan=4000, isGateway=True, bridge="bridge-of-1"), 7, "bridge-of-1.4000"),
}


@pytest.mark.parametrize(("config", "code", "says"), [pytest.param(*row, id=name) for name, row in BAD.items()])
def test_both_refuse_the_same(pair: Pair, config: dict[str, Any], code: int, says: str) -> None:
    """Ours with the specification's code, the culprit's name, before anything is touched."""
    reference, ours = pair("eth0")
    assert reference.call("ADD", config).status != 0
    answer = ours.call("ADD", config)
    assert (answer.status, answer.code) == (1, code), answer.body
    assert says in answer.body["msg"]
    assert [link["ifname"] for link in run_ip(ours.host, "link")] == ["lo"]
    assert rules(ours) == ""


def test_iptables_is_left_to_the_reference(pair: Pair) -> None:
    """Named as the backend it is not carried out, and said so: the reference does it."""
    _, ours = pair("eth0")
    answer = ours.call("ADD", hidden(ipMasqBackend="iptables"))
    assert (answer.code, "'ipMasqBackend' (\"iptables\")" in answer.body["msg"]) == (2, True)
    assert [link["ifname"] for link in run_ip(ours.host, "link")] == ["lo"]
