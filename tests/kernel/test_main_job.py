# SPDX-License-Identifier: Apache-2.0
"""The main job on real namespaces: networks attached through the shim, judged by the kernel, and nothing left."""

import json
import time
from typing import Any

import pytest

from tests.kernel.conftest import Ip
from tests.kernel.networks import bridge, macvlan, node_config, scripted
from tests.kernel.node import Node, Pod, calls_of, node_both_ways

node = node_both_ways

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
LOOK = 1.2  # a little more than the second after which a folder of definitions is read anew
BOTH_FORMS = [
    pytest.param("lan,storage", id="comma form"),
    pytest.param('[{"name": "lan"}, {"name": "storage", "namespace": "demo"}]', id="JSON form"),
]


def tuned(version: str = "1.0.0") -> dict[str, Any]:
    """A list: bridge, then tuning."""
    first = bridge("10.30.0.0/24", name="tuned0")
    del first["cniVersion"]
    return {
        "cniVersion": version,
        "name": "tuned",
        "plugins": [first, {"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}],
    }


def define_three(node: Node, version: str = "1.0.0") -> None:
    """Networks of three kinds: a bridge, a macvlan, a list."""
    node.config = node_config(version)
    node.define("lan", bridge("10.10.0.0/24", name="lan0", version=version))
    node.define("storage", macvlan("10.20.0.0/24", version=version))
    node.define("tuned", tuned(version))


def judge(node: Node, pod: Pod, result: dict[str, Any], ip: Ip) -> None:
    """Compare every interface and address of a result with what the kernel says."""
    inside = {one["ifname"]: one for one in ip(pod.namespace, "addr")}
    outside = {one["ifname"]: one for one in ip(node.host, "link")}
    told: dict[str, list[str]] = {}
    for one in result["ips"]:
        told.setdefault(result["interfaces"][one["interface"]]["name"], []).append(one["address"])
    for interface in result["interfaces"]:
        seen = (inside if interface.get("sandbox") else outside)[interface["name"]]
        assert interface.get("mac", seen["address"]) == seen["address"]
        assert interface.get("sandbox", str(pod.namespace.path)) == str(pod.namespace.path)
        assert interface.get("mtu", seen["mtu"]) == seen["mtu"]
    assert told == {name: found for name, found in pod.addresses().items() if found}


@pytest.mark.parametrize("version", VERSIONS)
def test_three_networks_are_attached_carry_traffic_and_leave_nothing(node: Node, ip: Ip, version: str) -> None:
    """Two pods with three networks besides the default one reach each other over each, in every version."""
    define_three(node, version)
    node.start()
    left, right = node.pod("lan,storage,tuned"), node.pod("lan,storage,tuned")
    for pod in (left, right):
        result = node.add(pod)
        assert result["cniVersion"] == version
        assert (
            {one["version"] for one in result["ips"]} == {"4"} if version < "1" else "version" not in result["ips"][0]
        )
        judge(node, pod, result, ip)
    assert right.addresses() == {
        "eth0": ["10.88.0.3/24"],
        "net1": ["10.10.0.3/24"],
        "net2": ["10.20.0.3/24"],
        "net3": ["10.30.0.3/24"],
    }
    for interface, found in right.addresses().items():
        left.ping(interface, found[0])
    checked = node.call("CHECK", left)
    assert checked.code == 1 if version == "0.3.1" else checked.status == 0  # CHECK came with 0.4.0 (A35)
    node.delete(left)
    for interface, found in right.addresses().items():
        right.ping(interface, found[0])
    node.delete(right)
    assert node.left(left, right) == []


@pytest.mark.parametrize("networks", BOTH_FORMS)
def test_both_forms_of_the_annotation_attach_the_same(node: Node, ip: Ip, networks: str) -> None:
    """The comma form and the JSON form name the same two networks."""
    define_three(node)
    node.start()
    pod = node.pod(networks)
    judge(node, pod, node.add(pod), ip)
    assert pod.addresses() == {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"], "net2": ["10.20.0.2/24"]}
    node.delete(pod)
    assert node.left(pod) == []


def test_annotations_come_from_the_source_when_the_runtime_hands_none_over(node: Node) -> None:
    """Without the capability the pod is looked up among the definitions."""
    define_three(node)
    node.start()
    pod = node.pod("storage@disk", uid="u-1")
    node.define_pod(pod)
    time.sleep(LOOK)
    node.add(pod, body=node.config | {"binDir": str(node.bin)})
    assert list(pod.addresses()) == ["eth0", "disk"]
    node.delete(pod)
    assert node.left(pod) == []


def test_a_pod_without_annotation_gets_the_default_network(node: Node, ip: Ip) -> None:
    """Most pods ask for nothing."""
    node.start()
    pod = node.pod()
    judge(node, pod, node.add(pod), ip)
    assert pod.addresses() == {"eth0": ["10.88.0.2/24"]}
    link, *others = node.left(pod)  # or "nothing is left" would prove nothing
    assert link.startswith("link veth")
    assert others == ["lease pod-network/10.88.0.2", f"record {pod.sandbox}", f"eth0 in {pod.name}"]
    node.delete(pod)
    assert node.left(pod) == []


def test_host_ports_of_the_default_network_work_and_their_rules_go(node: Node) -> None:
    """What the runtime asks of the default network reaches portmap on ADD, and on DEL too, or its rules would stay."""
    first = node_config()["delegates"][0]
    del first["cniVersion"], first["name"]
    mapped = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False}
    node.config["delegates"] = [{"cniVersion": "1.0.0", "name": "pod-network", "plugins": [first, mapped]}]
    node.start()
    before = rules(node)
    pod = node.pod()
    wish = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp"}
    offered = {"io.kubernetes.cri.pod-annotations": {}, "portMappings": [wish]}
    node.add(pod, body=node.config | {"binDir": str(node.bin), "runtimeConfig": offered})
    assert "8080" in rules(node)
    assert node.call("CHECK", pod).status == 0
    node.delete(pod, body=node.config | {"binDir": str(node.bin)})
    assert pod.sandbox not in rules(node)
    assert "8080" not in rules(node).replace(before, "")
    assert node.left(pod) == []


def rules(node: Node) -> str:
    """All NAT rules of the node, whoever wrote them."""
    return node.sh("nft", "list", "ruleset")


def test_static_addresses_come_from_the_configuration(node: Node, ip: Ip) -> None:
    """Another IPAM than host-local is as good."""
    addresses = [{"address": "10.60.0.5/24", "gateway": "10.60.0.1"}]
    node.define("fixed", macvlan("10.60.0.0/24") | {"ipam": {"type": "static", "addresses": addresses}})
    node.start()
    pod = node.pod("fixed")
    judge(node, pod, node.add(pod), ip)
    assert pod.addresses()["net1"] == ["10.60.0.5/24"]
    node.delete(pod)
    assert node.left(pod) == []


def test_a_network_of_an_older_version_is_called_in_its_own(node: Node, ip: Ip) -> None:
    """A definition at 0.3.1 below a node at 1.1.0 runs as 0.3.1; the answer is in 1.1.0 (B52)."""
    node.config = node_config("1.1.0")
    node.define("old", bridge("10.10.0.0/24", name="lan0", version="0.3.1"))
    node.start()
    pod = node.pod("old")
    result = node.add(pod)
    judge(node, pod, result, ip)
    assert result["cniVersion"] == "1.1.0"
    assert node.file_of(pod, "step-1-0")["cniVersion"] == "0.3.1"
    assert node.call("CHECK", pod).status == 0
    node.delete(pod)
    assert node.left(pod) == []


def test_a_second_delete_succeeds(node: Node) -> None:
    """DEL of what is gone is a success, however often it comes (A26)."""
    define_three(node)
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    for _ in range(2):
        node.delete(pod)
    pod.vanish()
    node.delete(pod)
    node.delete(node.pod("lan"))
    assert node.left() == []


@pytest.mark.parametrize("netns", [None, ""], ids=["path that leads nowhere", "empty path"])
def test_a_delete_after_the_namespace_has_gone_frees_the_addresses(node: Node, netns: str | None) -> None:
    """The runtime may have removed the namespace first (A27, G14); tuning would leave a file of its own then."""
    define_three(node)
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    pod.vanish()
    node.delete(pod, **({} if netns is None else {"netns": netns}))
    assert node.left() == []


def test_a_delete_leaves_a_namespace_alone_that_took_the_path_over(node: Node) -> None:
    """The path of a dead sandbox may lead to another one by the time of its DEL."""
    define_three(node)
    node.start()
    dead, alive = node.pod("lan"), node.pod("lan")
    node.add(dead)
    node.add(alive)
    dead.vanish()
    node.delete(dead, netns=alive.namespace.path)
    assert alive.addresses() == {"eth0": ["10.88.0.3/24"], "net1": ["10.10.0.3/24"]}
    assert node.call("CHECK", alive).status == 0
    node.delete(alive)
    assert node.left(alive) == []


@pytest.mark.parametrize("change", ["changed", "vanished", "broken"])
def test_a_delete_works_from_what_the_add_recorded(node: Node, change: str) -> None:
    """Whatever has become of the definition, DEL undoes what was done (B24)."""
    define_three(node)
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    if change == "changed":
        node.define("storage", bridge("10.99.0.0/24", name="other0"))
    elif change == "broken":
        node.define("storage", "no JSON")
    else:
        node.forget("storage")
    time.sleep(LOOK)
    assert node.call("CHECK", pod).status == 0
    node.delete(pod)
    assert node.left(pod) == []


def test_an_add_that_comes_twice_fails_and_leaves_the_first_as_it_was(node: Node) -> None:
    """A sandbox is attached once; the second ADD must not undo the first (A24)."""
    define_three(node)
    node.start()
    pod = node.pod("lan")
    node.add(pod)
    second = node.call("ADD", pod)
    assert second.code == 4
    assert "it has a record already" in second.message
    assert node.call("CHECK", pod).status == 0
    node.delete(pod)
    assert node.left(pod) == []


def test_the_status_is_recorded_with_what_is_in_force(node: Node) -> None:
    """The network status names every interface with its addresses and MAC."""
    define_three(node)
    node.start()
    pod = node.pod("lan@office", uid="u-1")
    node.add(pod)
    first, second = node.file_of(pod, "published")
    links = {one["ifname"]: one["address"] for one in json.loads(pod.namespace.run("ip", "-j", "link"))}
    assert (first["name"], first["interface"], first["ips"]) == ("pod-network", "eth0", ["10.88.0.2"])
    assert first["default"] is True
    assert second["name"] == "demo/lan"
    assert (second["interface"], second["ips"], second["mac"]) == ("office", ["10.10.0.2"], links["office"])
    node.delete(pod)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_before_0_3_0_the_runtime_is_told_of_the_default_network_alone(node: Node, version: str) -> None:
    """Those results know one address of a family; the other networks are attached all the same."""
    node.config = node_config(version)
    node.define("lan", bridge("10.10.0.0/24", name="lan0"))
    node.start()
    pod = node.pod("lan")
    result = node.add(pod)
    assert (result["cniVersion"], result["ip4"]["ip"]) == (version, "10.88.0.2/24")
    assert "interfaces" not in result
    assert pod.addresses() == {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"]}
    node.delete(pod)
    assert node.left(pod) == []


def test_under_multus_name_the_runtime_is_told_of_the_default_network_alone(node: Node) -> None:
    """A node that ran Multus keeps its configuration, and gets the result that Multus gave (B36)."""
    define_three(node)
    node.config["type"] = "multus"
    (node.bin / "metacni").rename(node.bin / "multus")
    (node.bin / "metacni").symlink_to("multus")
    node.start()
    pod = node.pod("lan,storage")
    result = node.add(pod)
    assert [one["address"] for one in result["ips"]] == ["10.88.0.2/24"]
    assert list(pod.addresses()) == ["eth0", "net1", "net2"]
    node.delete(pod)
    assert node.left(pod) == []


def test_every_network_of_the_node_is_attached_to_every_pod(node: Node, ip: Ip) -> None:
    """A second delegate of the node is net1, and the pod's own networks are counted after it."""
    define_three(node)
    second = bridge("10.89.0.0/24", name="cni1") | {"name": "second"}
    node.config["delegates"].append(second)
    node.start()
    pod = node.pod("lan")
    judge(node, pod, node.add(pod), ip)
    assert pod.addresses() == {"eth0": ["10.88.0.2/24"], "net1": ["10.89.0.2/24"], "net2": ["10.10.0.2/24"]}
    node.delete(pod)
    assert node.left(pod) == []


def test_a_result_of_plugins_before_us_reaches_the_default_network(node: Node) -> None:
    """metacni itself may stand second in the runtime's list (B6)."""
    record = node.root / "calls"
    node.config["delegates"] = [scripted(name="pod-network", record=str(record))]
    node.define("lan", scripted(record=str(record)))
    node.start()
    pod = node.pod("lan")
    before = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "sandbox": str(pod.namespace.path)}],
        "ips": [{"address": "10.1.2.3/24", "interface": 0}],
    }
    node.config["prevResult"] = before
    result = node.add(pod)
    assert [one["address"] for one in result["ips"]] == ["10.1.2.3/24"]
    assert [call["stdin"].get("prevResult") for call in calls_of(record)] == [before, None]
    node.delete(pod)
    assert node.left(pod) == []


def test_namespace_isolation_keeps_other_namespaces_networks_out(node: Node) -> None:
    """Off by default; with it, a pod may use its own namespace's definitions and those of `default`."""
    for namespace in ("demo", "default", "other"):
        node.define("lan", bridge("10.10.0.0/24", name="lan0"), namespace=namespace)
    node.start()
    pod = node.pod("lan@a,default/lan@b,other/lan@c")
    node.config["namespaceIsolation"] = True
    refused = node.call("ADD", pod)
    assert refused.code == 7
    assert "namespaceIsolation" in refused.message
    assert node.left(pod) == []
    node.config["namespaceIsolation"] = False
    node.add(pod)
    assert list(pod.addresses()) == ["eth0", "a", "b", "c"]
    node.delete(pod)
    assert node.left(pod) == []


def test_the_agents_settings_restrict_what_definitions_may_use(node: Node) -> None:
    """allowedTypes by namespace; the node's own networks are not held to it."""
    define_three(node)
    node.start(allowedTypes={"demo": ["macvlan", "host-local"]})
    allowed, refused = node.pod("storage"), node.pod("storage,lan")
    node.add(allowed)
    answer = node.call("ADD", refused)
    assert answer.code == 7
    assert "\"bridge\": namespace 'demo' may not use this type" in answer.message
    node.delete(allowed)
    assert node.left(allowed, refused) == []
