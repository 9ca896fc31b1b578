# SPDX-License-Identifier: Apache-2.0
"""CHECK, GC, STATUS and VERSION on real namespaces, and the protocol once more through the reference's cnitool."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests import parts
from tests.kernel.conftest import Ip
from tests.kernel.networks import bridge, macvlan, node_config, scripted
from tests.kernel.node import ANNOTATION, Node, Pod, calls_of, node_both_ways

node = node_both_ways

VALID = "cni.dev/valid-attachments"


def start_three(node: Node) -> Pod:
    """A pod with a bridge and a macvlan besides its default network."""
    node.config = node_config("1.1.0")
    node.define("lan", bridge("10.10.0.0/24", name="lan0", version="1.1.0"))
    node.define("storage", macvlan("10.20.0.0/24", version="1.1.0"))
    node.start()
    pod = node.pod("lan,storage")
    node.add(pod)
    return pod


SABOTAGE = [
    pytest.param(("link", "del", "eth0"), "pod-network", id="the default link is gone"),
    pytest.param(("link", "del", "net1"), "demo/lan", id="a bridge's link is gone"),
    pytest.param(("link", "del", "net2"), "demo/storage", id="a macvlan is gone"),
    pytest.param(("addr", "del", "10.20.0.2/24", "dev", "net2"), "demo/storage", id="an address is gone"),
    pytest.param(("route", "del", "default"), "pod-network", id="the default route is gone"),
]


@pytest.mark.parametrize(("command", "network"), SABOTAGE)
def test_check_notices_what_has_changed_and_delete_still_works(
    node: Node, ip: Ip, command: tuple[str, ...], network: str
) -> None:
    """CHECK is good after ADD, names the network that is broken, and DEL takes away what is left."""
    pod = start_three(node)
    assert node.call("CHECK", pod).stdout == ""
    ip(pod.namespace, *command)
    broken = node.call("CHECK", pod)
    assert broken.code > 0
    assert repr(network) in broken.message
    node.delete(pod)
    assert node.left(pod) == []


def test_check_of_what_was_never_added_says_so(node: Node) -> None:
    """Code 3: the container is unknown."""
    node.start()
    answer = node.call("CHECK", node.pod())
    assert answer.code == 3


def test_check_in_another_namespace_is_refused(node: Node) -> None:
    """A sandbox is its namespace; another one under its id is none of its own."""
    pod = start_three(node)
    assert node.call("CHECK", pod, netns=node.pod().namespace.path).code == 4
    node.delete(pod)


def test_check_hands_every_plugin_its_networks_final_result(node: Node) -> None:
    """Each plugin of a list gets what the list's last one printed on ADD, in its own version (B5)."""
    record = node.root / "calls"
    plugins = [scripted(record=str(record)), scripted(record=str(record))]
    node.define("list", {"cniVersion": "0.4.0", "name": "list", "plugins": plugins})
    node.start()
    pod = node.pod("list")
    node.add(pod)
    assert node.call("CHECK", pod).status == 0
    node.delete(pod)
    first = node_result("0.4.0", "net1", pod)
    final = first | {"dns": {}}
    calls = [(verb(one), one["stdin"].get("prevResult")) for one in calls_of(record)]
    assert calls == [("ADD", None), ("ADD", first), ("CHECK", final), ("CHECK", final), ("DEL", final), ("DEL", final)]
    assert all(one["stdin"]["name"] == "list" and one["stdin"]["cniVersion"] == "0.4.0" for one in calls_of(record))
    assert {one["env"]["CNI_PATH"] for one in calls_of(record)} == {f"{node.bin}:{parts.PLUGINS}"}


def node_result(version: str, ifname: str, pod: Pod) -> dict[str, Any]:
    """What a scripted plugin says that it made."""
    return {"cniVersion": version, "interfaces": [{"name": ifname, "sandbox": str(pod.namespace.path)}]}


@pytest.mark.parametrize("gone", [True, False], ids=["namespace gone", "namespace there"])
def test_gc_detaches_what_is_stale_and_keeps_every_network_of_what_lives(node: Node, gone: bool) -> None:  # noqa: FBT001
    """The runtime names eth0 only: the other interfaces of a living sandbox must not lose their leases (B46)."""
    stale = start_three(node)
    alive, other = node.pod("lan,storage"), node.pod("lan")
    node.add(alive)
    node.add(other)
    if gone:
        stale.vanish()
    valid = [{"containerID": pod.sandbox, "ifname": "eth0"} for pod in (alive, other)]
    answer = node.call("GC", body=node.config | {"binDir": str(node.bin), VALID: valid})
    assert (answer.status, answer.stdout) == (0, "")
    assert node.records() == sorted([alive.sandbox, other.sandbox])
    assert node.leases() == [
        *("lan/10.10.0.3", "lan/10.10.0.4", "pod-network/10.88.0.3", "pod-network/10.88.0.4", "storage/10.20.0.3"),
    ]
    alive.ping("net1", "10.10.0.4")
    for pod in (alive, other):
        assert node.call("CHECK", pod).status == 0
        node.delete(pod)
    node.delete(stale)
    assert node.left(alive, other) == []


def test_gc_tells_each_plugin_what_is_valid_of_its_own_network(node: Node) -> None:
    """Two definitions that share a CNI name share their leases, so each gets the attachments of both (B47)."""
    record = node.root / "calls"
    node.config = node_config("1.1.0") | {"delegates": [scripted("1.1.0", name="pod-network", record=str(record))]}
    for name, cni_name in (("one", "shared"), ("two", "shared"), ("three", "own")):
        node.define(name, scripted("1.1.0", name=cni_name, record=str(record), of=name))
    node.define("old", scripted("1.0.0", record=str(record)))
    node.start()
    first, second, stale = node.pod("one,old"), node.pod("two,three"), node.pod("one,three")
    for pod in (first, second, stale):
        node.add(pod)
    record.unlink()
    valid = [{"containerID": pod.sandbox, "ifname": "eth0"} for pod in (first, second)]
    assert node.call("GC", body=node.config | {"binDir": str(node.bin), VALID: valid}).status == 0
    calls = calls_of(record)
    deleted = [(one["env"]["CNI_CONTAINERID"], one["env"]["CNI_IFNAME"]) for one in calls if verb(one) == "DEL"]
    assert deleted == [(stale.sandbox, "net2"), (stale.sandbox, "net1"), (stale.sandbox, "eth0")]
    told = {one["stdin"].get("of", "default"): one["stdin"] for one in calls if verb(one) == "GC"}
    shared = {(first.sandbox, "net1"), (second.sandbox, "net1")}
    assert {name: attachments(stdin) for name, stdin in told.items()} == {
        "default": {(first.sandbox, "eth0"), (second.sandbox, "eth0")},
        "one": shared,
        "two": shared,
        "three": {(second.sandbox, "net2")},
    }
    for stdin in told.values():
        assert stdin["cni.dev/attachments"] == stdin[VALID]
        assert "prevResult" not in stdin
    for pod in (first, second):
        node.delete(pod)
    assert node.left() == []


def verb(call: dict[str, Any]) -> str:
    """The verb of a recorded call."""
    return str(call["env"]["CNI_COMMAND"])


def attachments(stdin: dict[str, Any]) -> set[tuple[str, str]]:
    """What a GC names as valid."""
    return {(one["containerID"], one["ifname"]) for one in stdin[VALID]}


def test_gc_with_no_list_at_all_is_refused_but_an_empty_one_is_taken(node: Node) -> None:
    """An absent key says nothing about what is valid; Go writes an empty list as null (A32)."""
    pod = start_three(node)
    assert node.call("GC", body=node.config | {"binDir": str(node.bin)}).code == 7
    assert node.call("CHECK", pod).status == 0
    assert node.call("GC", body=node.config | {"binDir": str(node.bin), VALID: None}).status == 0
    assert node.left() == []


def test_gc_reports_what_failed_and_does_the_rest(node: Node) -> None:
    """One stale sandbox that cannot be detached keeps no other one (A31)."""
    node.config = node_config("1.1.0")
    node.define("bad", scripted("1.1.0", script={"DEL": "fail"}))
    node.define("lan", bridge("10.10.0.0/24", name="lan0", version="1.1.0"))
    node.start()
    bad, good = node.pod("bad"), node.pod("lan")
    for pod in (bad, good):
        node.add(pod)
    answer = node.call("GC", body=node.config | {"binDir": str(node.bin), VALID: []})
    assert answer.code == 105
    assert bad.sandbox in answer.message
    assert node.left() == [f"record {bad.sandbox}"]


def test_status_is_good_and_carries_a_delegates_code(node: Node) -> None:
    """STATUS asks the default network's plugins, and 50 stays 50 (B21)."""
    node.config = node_config("1.1.0")
    node.start()
    good = node.call("STATUS")
    assert (good.status, good.stdout) == (0, "")
    assert good.seconds < 1
    node.config["delegates"] = [scripted("1.1.0", name="pod-network", script={"STATUS": "unavailable"})]
    bad = node.call("STATUS")
    assert bad.code == 50
    assert "no address is left" in bad.message


def test_status_without_an_agent_is_good_while_one_has_just_lived(node: Node) -> None:
    """An upgrade must not make the node NotReady; a node that never had an agent is not ready (decision 1)."""
    node.config = node_config("1.1.0")
    assert node.call("STATUS").code == 50
    node.start()
    assert node.call("STATUS").status == 0
    node.stop(signal.SIGKILL)
    assert node.call("STATUS").status == 0
    os.utime(node.run / "alive", (0, 0))
    assert node.call("STATUS").code == 50


@pytest.mark.parametrize("stdin", ["", '{"cniVersion": "0.4.0"}'], ids=["no stdin", "a version"])
def test_version_needs_no_agent_and_nothing_else(node: Node, stdin: str) -> None:
    """The shim answers VERSION alone (A34), and echoes the version asked for (A33)."""
    answer = node.call("VERSION", stdin=stdin, path="")
    assert answer.result == {
        "cniVersion": "0.4.0" if stdin else "1.1.0",
        "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }
    assert answer.seconds < 1


@pytest.mark.part("cnitool")
def test_cnitool_drives_the_shim_in_a_list(node: Node, ip: Ip) -> None:
    """The reference's own caller: a list file, its result cache, and ADD, CHECK, GC, STATUS and DEL."""
    node.define("lan", bridge("10.10.0.0/24", name="lan0", version="1.1.0"))
    own = node_config("1.1.0") | {
        "binDir": str(node.bin),
        "capabilities": {"io.kubernetes.cri.pod-annotations": True},
    }
    body = {"cniVersion": "1.1.0", "name": own.pop("name"), "plugins": [own]}
    del own["cniVersion"]
    (node.root / "net.d").mkdir()
    (node.root / "net.d/10-node.conflist").write_text(json.dumps(body))
    node.start()
    pod = node.pod("lan")
    result = json.loads(cnitool(node, "add", pod))
    assert [one["address"] for one in result["ips"]] == ["10.88.0.2/24", "10.10.0.2/24"]
    assert pod.addresses() == {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"]}
    cnitool(node, "check", pod)
    cnitool(node, "status", pod)
    ip(pod.namespace, "link", "set", "net1", "down")
    ip(pod.namespace, "link", "del", "net1")
    with pytest.raises(AssertionError, match="demo/lan"):
        cnitool(node, "check", pod)
    cnitool(node, "del", pod)
    cnitool(node, "del", pod)
    assert node.left(pod) == []


def cnitool(node: Node, command: str, pod: Pod) -> str:
    """Run cnitool on the node; what it printed."""
    offered = {"io.kubernetes.cri.pod-annotations": {ANNOTATION: pod.annotations[ANNOTATION]}}
    environment = {
        "PATH": os.environ["PATH"],
        "CNI_PATH": f"{node.bin}:{parts.PLUGINS}",
        "NETCONFPATH": str(node.root / "net.d"),
        "CAP_ARGS": json.dumps(offered),
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME={pod.name}",
    }
    argv = node.inside(str(parts.CNITOOL), command, "node", str(pod.namespace.path))
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
