# SPDX-License-Identifier: Apache-2.0
"""ptp on a node of its own: every step that can fail, whoever dies, and what the reference does not have.

What it has in common with the reference is compared in tests/contract.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from delegates.ptp import DELEGATE
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace, run_ip
from tests.kernel.delegated import Node, node

Pod = Callable[[], Namespace]


@pytest.fixture
def cabler(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node on which ptp works."""
    with node(DELEGATE, host, tmp_path) as made:
        yield made


def config(cabler: Node, **more: Any) -> dict[str, Any]:
    """A network of both families, masqueraded, with default routes."""
    ipam = cabler.ipam(routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
    network = {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipMasq": True, "ipMasqBackend": "nftables"}
    return network | {"ipam": ipam} | more


def rules(cabler: Node) -> int:
    """How many addresses are masqueraded."""
    return cabler.namespace.run("nft", "list", "ruleset").count(" masquerade ")


def full(cabler: Node, _: Namespace) -> dict[str, Any]:
    """The second set has nothing to give."""
    folder = cabler.folder / "leases/net"
    folder.mkdir(parents=True)
    for last in range(1, 8):
        (folder / f"fd01::{last}").write_text("somebody\r\neth0")
    return config(cabler)


def unforwarded(cabler: Node, _: Namespace) -> dict[str, Any]:
    """No such setting on this node."""
    (cabler.folder / "sys/ipv6/conf/all/forwarding").unlink()
    return config(cabler)


def named_already(cabler: Node, pod: Namespace) -> dict[str, Any]:
    """The pod has an interface of that name."""
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
    return config(cabler)


def unreachable(cabler: Node, _: Namespace) -> dict[str, Any]:
    """A route whose gateway cannot be reached."""
    return config(cabler, ipam=cabler.ipam(routes=[{"dst": "10.3.0.0/16", "gw": "10.99.0.1"}]))


def led_elsewhere(cabler: Node, pod: Namespace) -> dict[str, Any]:
    """The pod reaches the gateway by another link."""
    pod.run("ip", "link", "add", "x0", "type", "veth", "peer", "x1")
    pod.run("ip", "link", "set", "x0", "up")
    pod.run("ip", "route", "add", "10.1.0.1/32", "dev", "x0", "scope", "link")
    return config(cabler)


def reached_elsewhere(cabler: Node, _: Namespace) -> dict[str, Any]:
    """The node has a route to the pod's second address: the last step but the rules."""
    cabler.namespace.run("ip", "link", "add", "x0", "type", "veth", "peer", "x1")
    cabler.namespace.run("ip", "link", "set", "x0", "up")
    cabler.namespace.run("ip", "route", "add", "fd01::2/128", "dev", "x0")
    return config(cabler)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        pytest.param(full, 11, id="leases"),
        pytest.param(unforwarded, 5, id="forwarding"),
        pytest.param(named_already, 7, id="name"),
        pytest.param(unreachable, 7, id="route"),
        pytest.param(led_elsewhere, 7, id="gateway"),
        pytest.param(reached_elsewhere, 7, id="node-route"),
    ],
)
def test_a_step_that_fails_undoes_those_before(
    cabler: Node, pod: Pod, broken: Callable[[Node, Namespace], dict[str, Any]], code: int
) -> None:
    """No link on either side, no lease and no rule of ours."""
    one = pod()
    network = broken(cabler, one)
    before = (cabler.links(), run_ip(one, "link"), cabler.leases(), rules(cabler))
    with pytest.raises(CniError) as caught:
        cabler.call("ADD", network, one)
    assert caught.value.code == code
    assert (cabler.links(), run_ip(one, "link"), cabler.leases(), rules(cabler)) == before


def test_killed_anywhere_in_an_add_nothing_stays(cabler: Node, pod: Pod) -> None:
    """SIGKILL before each message to the kernel: the runtime's DEL takes away what is there, then ADD works."""
    network = config(cabler)
    for step in itertools.count(1):
        one = pod()
        status = cabler.killed("ADD", network, one, before=step)
        cabler.killed("DEL", network, one)
        assert (cabler.links(), len(run_ip(one, "link")), cabler.leases(), rules(cabler)) == ([], 1, [], 0), step
        if status == 0:
            break
    assert step > 20


def test_killed_anywhere_in_a_del_the_next_one_completes_it(cabler: Node, pod: Pod) -> None:
    """Cable, rules and leases."""
    network = config(cabler)
    for step in itertools.count(1):
        one = pod()
        assert cabler.killed("ADD", network, one) == 0
        status = cabler.killed("DEL", network, one, before=step)
        cabler.killed("DEL", network, one)
        assert (cabler.links(), cabler.leases(), rules(cabler)) == ([], [], 0), step
        if status == 0:
            break
    assert step > 4


def test_the_cable_says_whose_it_is(cabler: Node, pod: Pod, ip: Ip) -> None:
    """On the node by its remark, in the pod by the group that it is deleted with, and the agent is told its index."""
    one = pod()
    result = cabler.call("ADD", config(cabler), one)
    (near,) = ip(cabler.namespace, "link", "show", result["interfaces"][0]["name"])
    (far,) = ip(one, "link", "show", "eth0")
    assert (near["ifalias"], near["group"], far["group"]) == ("metacni net c1 eth0", "default", "1835232873")
    assert cabler.made == [far["ifindex"]]
    assert (cabler.folder / "sys/ipv4/ip_forward").read_text()[0] == "1"


def test_addresses_are_usable_at_once(cabler: Node, pod: Pod) -> None:
    """Right after ADD each side answers the other's first packet, and the pod one from beyond the node (IPv6, too)."""
    one, client = pod(), pod()
    cabler.namespace.cable("up0", client, "eth0", "10.9.0.1/24", "fd09::1/64")
    for address, gateway in (("10.9.0.2/24", "10.9.0.1"), ("fd09::2/64", "fd09::1")):
        client.run("ip", "address", "add", address, "dev", "eth0", *(("nodad",) if ":" in address else ()))
        client.run("ip", "route", "add", "default", "via", gateway)
        client.run("ping", "-c", "1", "-W", "3", gateway)  # what is tested is not this cable
    assert cabler.killed("ADD", config(cabler), one) == 0
    for where, address in ((client, "fd01::2"), (client, "10.1.0.2"), (one, "fd01::1"), (one, "10.1.0.1")):
        assert " 0% packet loss" in where.run("ping", "-c", "1", "-W", "1", address)
    for address in ("fd01::2", "10.1.0.2"):
        assert " 0% packet loss" in cabler.namespace.run("ping", "-c", "1", "-W", "1", address)


def test_duplicates_are_looked_for_where_that_is_wanted(cabler: Node, pod: Pod, ip: Ip) -> None:
    """Then ADD waits, and the address is no longer tentative."""
    one = pod()
    cabler.call("ADD", config(cabler, enabledad=True), one)
    (link,) = ip(one, "-6", "address", "show", "eth0")
    found = [item for item in link["addr_info"] if item["scope"] == "global"]
    assert [(item.get("nodad", False), item.get("tentative", False)) for item in found] == [(False, False)]


def test_rules_that_somebody_took_away_are_missed(cabler: Node, pod: Pod) -> None:
    """The reference's CHECK does not look: its pods go on with addresses that nobody outside answers."""
    one = pod()
    done = config(cabler) | {"prevResult": cabler.call("ADD", config(cabler), one)}
    cabler.call("CHECK", done, one)
    cabler.namespace.run("nft", "flush", "ruleset")
    with pytest.raises(CniError, match="not masqueraded") as caught:
        cabler.call("CHECK", done, one)
    assert caught.value.code == 999


def test_garbage_is_collected(cabler: Node, pod: Pod, ip: Ip) -> None:
    """Cables, rules and leases of what is not valid, also when the pod still stands; the valid one works on."""
    kept, lost = pod(), pod()
    result = cabler.call("ADD", config(cabler), kept, "c1")
    cabler.call("ADD", config(cabler), lost, "c2")
    assert rules(cabler) == 4
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    for _ in range(2):
        cabler.call("GC", config(cabler) | {"cni.dev/valid-attachments": valid}, None)
    assert cabler.links() == [result["interfaces"][0]["name"]]
    assert (cabler.leases(), rules(cabler)) == (["10.1.0.2", "fd01::2"], 2)
    assert [link["ifname"] for link in ip(lost, "link")] == ["lo"]
    cabler.call("CHECK", config(cabler) | {"prevResult": result}, kept)


def test_del_without_a_namespace_releases(cabler: Node, pod: Pod) -> None:
    """The kernel has taken the cable; rules and addresses go, however often it is asked, and whatever was edited."""
    one = pod()
    cabler.call("ADD", config(cabler), one)
    one.run("ip", "link", "del", "eth0")
    for _ in range(2):
        assert cabler.call("DEL", config(cabler, ipMasq=False, mtu="x"), None) is None
    assert (cabler.leases(), rules(cabler)) == ([], 0)
