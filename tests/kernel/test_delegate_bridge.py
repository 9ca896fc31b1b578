# SPDX-License-Identifier: Apache-2.0
"""The resident bridge on a node of its own: every step that can fail, and what the reference does not have.

What it has in common with the reference is compared in tests/contract.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from delegates.bridge import DELEGATE
from metacni.cni.errors import CniError, Code
from tests.kernel.bridged import LAYER2, Node, bridged
from tests.kernel.conftest import Ip, Namespace


@pytest.fixture
def node(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node with our bridge."""
    with bridged(host, tmp_path) as made:
        yield made


Pod = Callable[[], Namespace]


def break_the_gateway(node: Node) -> dict[str, Any]:
    """Another address on the bridge."""
    node.namespace.run("ip", "link", "add", "br1", "type", "bridge")
    node.namespace.run("ip", "address", "add", "10.9.0.1/24", "dev", "br1")
    return node.config()


def break_forwarding(node: Node) -> dict[str, Any]:
    """No such setting on this node: the last step of all."""
    (node.folder / "sys/ipv6/conf/all/forwarding").unlink()
    return node.config()


def break_the_leases(node: Node) -> dict[str, Any]:
    """The second set has nothing to give."""
    full = node.folder / "leases/net"
    full.mkdir(parents=True)
    for last in range(1, 8):
        (full / f"fd01::{last}").write_text("somebody\r\neth0")
    return node.config()


def break_a_route(node: Node) -> dict[str, Any]:
    """Its gateway cannot be reached."""
    config = node.config()
    config["ipam"]["routes"] = [{"dst": "10.2.0.0/16", "gw": "10.1.0.3"}, {"dst": "10.3.0.0/16", "gw": "10.99.0.1"}]
    return config


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        pytest.param(break_the_leases, 11, id="leases"),
        pytest.param(break_a_route, 7, id="route"),
        pytest.param(break_the_gateway, 7, id="gateway"),
        pytest.param(break_forwarding, 5, id="forwarding"),
    ],
)
def test_a_step_that_fails_undoes_those_before(
    node: Node, pod: Pod, ip: Ip, broken: Callable[[Node], dict[str, Any]], code: int
) -> None:
    """No link on either side and no lease of ours; then the same pod can be attached."""
    one = pod()
    config = broken(node)
    others = node.leases()
    with pytest.raises(CniError) as caught:
        node.call("ADD", config, one)
    assert caught.value.code == code
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]
    assert (node.links(), node.leases()) == ([], others)
    node.call("ADD", LAYER2, one)


def test_a_foreign_ipam_is_asked_to_take_back(node: Node, pod: Pod) -> None:
    """When a step behind it fails, and once."""
    break_the_gateway(node)
    with pytest.raises(CniError, match=r"'10\.9\.0\.1/24'"):
        node.call("ADD", node.config(ipam={"type": "far"}), pod())
    assert node.ipam.verbs == ["ADD", "DEL"]


def test_the_cable_says_whose_it_is(node: Node, pod: Pod, ip: Ip) -> None:
    """On the node as an alias; in the pod by the group that it is deleted with."""
    one = pod()
    result = node.call("ADD", node.config(), one)
    (near,) = [link for link in ip(node.namespace, "link") if link["ifname"] == result["interfaces"][1]["name"]]
    assert (near["ifalias"], near["group"]) == ("metacni net c1 eth0", "default")
    assert ip(one, "link", "show", "eth0")[0]["group"] == "1835232873"
    assert (node.folder / "sys/ipv4/ip_forward").read_text()[0] == "1"


def test_addresses_are_usable_at_once(node: Node, pod: Pod, ip: Ip) -> None:
    """No address of the IPAM is tentative when ADD answers, and the gateway answers the first ping."""
    one = pod()
    node.call("ADD", node.config(), one)
    addresses = [
        a for link in ip(one, "-6", "address", "show", "eth0") for a in link["addr_info"] if a["scope"] == "global"
    ]
    assert [(a["local"], a.get("tentative", False), a["nodad"]) for a in addresses] == [("fd01::2", False, True)]
    assert " 0% packet loss" in one.run("ping", "-6", "-c", "1", "-W", "1", "fd01::1")
    assert " 0% packet loss" in one.run("ping", "-c", "1", "-W", "1", "10.1.0.1")


def test_a_neighbour_learns_who_has_the_address_now(node: Node, pod: Pod, ip: Ip) -> None:
    """An address that goes from pod to pod: a third one's stale entry is corrected by the announcement, unasked."""
    watcher, first, second = pod(), pod(), pod()
    config = node.config(runtimeConfig={"ips": ["10.1.0.5", "fd01::5"]})
    node.call("ADD", node.config(), watcher, "w")
    node.call("ADD", config, first, "c1")
    for address in ("10.1.0.5", "fd01::5"):
        watcher.run("ping", "-c", "1", "-W", "1", address)
    node.call("DEL", config, first, "c1")
    mac = node.call("ADD", config, second, "c2")["interfaces"][2]["mac"]
    end = time.monotonic() + 2
    while (known := neighbours(watcher, ip)) != {mac} and time.monotonic() < end:
        time.sleep(0.01)
    assert known == {mac}


def neighbours(watcher: Namespace, ip: Ip) -> set[str]:
    """The MACs that a pod holds for the two addresses."""
    entries = [entry for family in ("-4", "-6") for entry in ip(watcher, family, "neigh")]
    return {entry.get("lladdr", "") for entry in entries if entry["dst"].endswith((".5", "::5"))}


def test_garbage_is_collected(node: Node, pod: Pod, ip: Ip) -> None:
    """Cables and leases of what is not valid, also when the pod still stands; the valid one works on."""
    kept, lost = pod(), pod()
    result = node.call("ADD", node.config(), kept, "c1")
    node.call("ADD", node.config(), lost, "c2")
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    for _ in range(2):
        node.call("GC", node.config() | {"cni.dev/valid-attachments": valid}, None)
    assert node.links() == [result["interfaces"][1]["name"]]
    assert node.leases() == ["10.1.0.2", "fd01::2"]
    assert [link["ifname"] for link in ip(lost, "link")] == ["lo"]
    node.call("CHECK", node.config() | {"prevResult": result}, kept)


def test_del_without_a_namespace_releases(node: Node, pod: Pod) -> None:
    """The kernel has taken the cable; the addresses come back, however often it is asked."""
    node.call("ADD", node.config(), pod())
    for _ in range(2):
        assert node.call("DEL", node.config(), None) is None
    assert node.leases() == []


def test_many_at_once_share_a_bridge(node: Node, pod: Pod) -> None:
    """Four threads make the bridge at the same time: all succeed, and their CHECKs agree on it."""
    pods = [pod() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: node.call("ADD", node.config(), pods[n], f"c{n}"), range(4)))
        list(
            pool.map(
                lambda n: node.call("CHECK", node.config() | {"prevResult": results[n]}, pods[n], f"c{n}"), range(4)
            )
        )
        list(pool.map(lambda n: node.call("DEL", node.config(), pods[n], f"c{n}"), range(4)))
    assert (node.links(), node.leases()) == ([], [])


@pytest.mark.parametrize(
    "fd", [pytest.param("/dev/null", id="no-namespace"), pytest.param("/proc/self/ns/net", id="our-own")]
)
def test_a_descriptor_that_is_no_pods_is_refused(node: Node, fd: str) -> None:
    """Code 8; neither link nor lease is made, and the node's own interfaces are not touched."""
    before = os.listdir("/sys/class/net")  # noqa: PTH208 - names
    opened = os.open(fd, os.O_RDONLY)
    variables = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_NETNS": fd, "CNI_IFNAME": "eth0"}
    with pytest.raises(CniError) as caught:
        DELEGATE.serve(variables, json.dumps(node.config()).encode(), pod=opened, edges=node.edges())
    os.close(opened)
    assert caught.value.code == Code.NETNS
    assert (node.links(), node.leases()) == ([], [])
    assert os.listdir("/sys/class/net") == before  # noqa: PTH208 - names
