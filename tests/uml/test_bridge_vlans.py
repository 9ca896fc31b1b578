# SPDX-License-Identifier: Apache-2.0
"""VLANs of our bridge beside the reference's, on a kernel whose bridges filter; and what they do to frames."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.contract.cases import V4, V6, Case, ipam, net
from tests.contract.twins import Twin
from tests.kernel.conftest import Ip, Namespace, run_ip

Pair = Callable[[str], tuple[Twin, Twin]]
pytestmark = pytest.mark.part("bridge", "host-local")
_VETH: Final = re.compile(r"veth[0-9a-f]{8}")


def lan(*, keep: bool = False, **more: Any) -> dict[str, Any]:
    """A network that says what becomes of the default VLAN, as ours wants it."""
    return net(preserveDefaultVlan=keep) | more


FILTERS: Final = ("link add br1 type bridge vlan_filtering 1",)
CASES: Final = {
    "native": Case(config=lan(vlan=5)),
    "native-is-the-default": Case(config=lan(vlan=1)),
    "native-beside-the-default": Case(config=lan(keep=True, vlan=5)),
    "trunk-of-both": Case(config=lan(vlanTrunk=[{"minID": 100, "maxID": 110, "id": 105}, {"id": 3}, {"id": 3}])),
    "trunk-of-all": Case(config=lan(vlanTrunk=[{"minID": 1, "maxID": 4094}])),
    "trunk-with-the-default-in-it": Case(config=lan(vlanTrunk=[{"id": 1}, {"id": 2}])),
    "trunk-beside-the-default": Case(config=lan(keep=True, vlanTrunk=[{"id": 7}])),
    "trunk-empty-and-nothing-said": Case(config=net(vlanTrunk=[])),
    "native-in-the-trunk": Case(config=lan(vlan=5, vlanTrunk=[{"minID": 4, "maxID": 6}])),
    "gateway-of-both-families": Case(
        config=lan(vlan=5, isDefaultGateway=True, mtu=1400, ipam=ipam(ranges=[*V4, *V6]))
    ),
    "gateway-has-another-address": Case(
        config=lan(vlan=5, isGateway=True, forceAddress=True),
        before=(*FILTERS, "link add br1.5 up type veth peer x0", "address add 10.9.0.1/24 dev br1.5"),
    ),
    "bridge-is-there-and-does-not": Case(config=lan(vlan=5), before=("link add br1 type bridge",)),
    "bridge-without-a-default": Case(
        config=lan(vlan=5), before=("link add br1 type bridge vlan_filtering 1 vlan_default_pvid 0",)
    ),
    "bridge-with-another-default": Case(
        config=lan(vlan=5), before=("link add br1 type bridge vlan_filtering 1 vlan_default_pvid 99",)
    ),
}  # fmt: skip


def vlans(twin: Twin) -> object:
    """The VLANs of every port, names of chance left out."""
    shown = twin.host.run("bridge", "vlan", "show")
    return sorted(" ".join(_VETH.sub("veth", port).split()) for port in re.split(r"\n(?=\S)", shown))


def links(twin: Twin) -> object:
    """The node's links and what addresses they have; that of the pod is compared on this machine's own kernel."""
    found = [link for link in run_ip(twin.host, "address") if link["ifname"] != "lo"]
    return sorted(
        (
            _VETH.sub("veth", link["ifname"]),
            (link["mtu"], link.get("master"), [a["local"] for a in link["addr_info"] if a["scope"] == "global"]),
        )
        for link in found
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_both_do_the_same(pair: Pair, case: Case) -> None:
    """ADD, CHECK, DEL: result, VLANs, links and addresses are the same, and what stays is."""
    results: list[object] = []
    seen: list[list[object]] = []
    for twin in pair(case.ifname):
        for command in case.before:
            twin.host.run("ip", *command.split())
        added = twin.call("ADD", case.config)
        assert added.status == 0, added.body
        results.append(twin.alike(added.body))
        seen.append([vlans(twin), links(twin)])
        done = case.config | {"prevResult": added.body}
        if case.check:
            assert twin.call("CHECK", done).body == {}
        assert twin.call("DEL", done).body == {}
        seen[-1].append(vlans(twin))
    assert results[1] == results[0]
    assert seen[1] == seen[0]


def test_a_second_pod_shares_the_gateway(pair: Pair) -> None:
    """One leg of the node's for all; both results name it, and both programs name the same."""
    found: list[list[Any]] = []
    for twin in pair("eth0"):
        config = lan(vlan=5, isGateway=True)
        second = replace(twin, container="c2", ifname="eth1")
        results = [one.call("ADD", config).body for one in (twin, second)]
        found.append([[item["name"] for item in twin.alike(result)["interfaces"]] for result in results])
        assert second.call("CHECK", config | {"prevResult": results[1]}).body == {}
        found[-1].append(vlans(twin))
    assert found[1] == found[0]
    assert found[1][0] == ["br1", "veth", "eth0", "br1.5"]


def reaches(one: Namespace, address: str) -> bool:
    """Whether a pod gets an answer to one of two pings."""
    command = one.command("ping", "-q", "-c", "2", "-i", "0.2", "-W", "1", address)
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


def test_frames_stay_in_their_vlan(pair: Pair, pod: Callable[[], Namespace], ip: Ip) -> None:
    """Pods of one VLAN and its gateway reach each other; one of another VLAN, in the same subnet, reaches none."""
    _, ours = pair("eth0")
    pods = [pod() for _ in range(3)]
    for at, (one, vlan) in enumerate(zip(pods, (5, 5, 6), strict=True)):
        config = lan(vlan=vlan, isGateway=vlan == 5)
        assert replace(ours, pod=one, container=f"c{at}").call("ADD", config).status == 0
    assert ip(pods[2], "-4", "address", "show", "eth0")[0]["addr_info"][0]["local"] == "10.1.0.4"
    assert [reaches(pods[0], f"10.1.0.{last}") for last in (1, 3, 4)] == [True, True, False]
    assert reaches(pods[2], "10.1.0.1") is False
