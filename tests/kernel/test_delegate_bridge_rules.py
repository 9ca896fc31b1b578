# SPDX-License-Identifier: Apache-2.0
"""What masquerading, spoof check and isolation of our bridge do to packets; and failures, crowds and leftovers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from metacni.cni.errors import CniError
from tests.kernel.bridged import Node, bridged
from tests.kernel.conftest import Ip, Namespace
from tests.parts import ROOT

Pod = Callable[[], Namespace]
MASQUERADE = {"ipMasq": True, "isDefaultGateway": True}
WORLD = ("192.0.2.9", "2001:db8::9")


@pytest.fixture
def node(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node with our bridge."""
    with bridged(host, tmp_path) as made:
        yield made


@pytest.fixture
def world(host: Namespace, pod: Pod) -> Namespace:
    """A machine beside the node that has no way back to the pods; the node forwards."""
    beyond = pod()
    beyond.cable("wan", host, "up0", "192.0.2.9/24", "2001:db8::9/64")
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
    host.run("ip", "address", "add", "2001:db8::1/64", "dev", "up0", "nodad")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    return beyond


def reaches(one: Namespace, address: str) -> bool:
    """Whether a pod gets an answer to one of two pings."""
    command = one.command("ping", "-q", "-c", "2", "-i", "0.2", "-W", "1", address)
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


def rules(node: Node) -> str:
    """The node's rules."""
    return node.namespace.run("nft", "--stateless", "list", "ruleset")


def test_the_world_sees_the_node(node: Node, pod: Pod, world: Namespace) -> None:
    """Only masqueraded does a pod reach a machine that has no way back; its neighbours see its own address."""
    plain, hidden = pod(), pod()
    node.call("ADD", node.config(isDefaultGateway=True), plain, "c1")
    node.call("ADD", node.config(**MASQUERADE), hidden, "c2")
    assert [reaches(plain, address) for address in WORLD] == [False, False]
    assert [reaches(hidden, address) for address in WORLD] == [True, True]
    assert [reaches(hidden, address) for address in ("10.1.0.2", "fd01::2")] == [True, True]
    node.call("DEL", node.config(**MASQUERADE), hidden, "c2")
    assert "c2" not in rules(node)
    assert world.processes() == ()


def test_a_pod_cannot_take_another_mac(node: Node, pod: Pod) -> None:
    """With the spoof check: the gateway answers its own MAC, and no other; without, any."""
    free, watched = pod(), pod()
    node.call("ADD", node.config(), free, "c1")
    node.call("ADD", node.config(macspoofchk=True), watched, "c2")
    for one, after in ((free, True), (watched, False)):
        assert reaches(one, "10.1.0.1")
        one.run("ip", "link", "set", "eth0", "address", "02:00:5e:00:00:66")
        assert reaches(one, "10.1.0.1") == after
    node.call("DEL", node.config(macspoofchk=True), watched, "c2")
    assert "cni-br-iface" not in rules(node)


def test_isolated_pods_see_the_gateway_alone(node: Node, pod: Pod) -> None:
    """Not each other; one that is not isolated they see."""
    pods = [pod() for _ in range(3)]
    for at, more in enumerate(({"portIsolation": True}, {"portIsolation": True}, {})):
        node.call("ADD", node.config(**more), pods[at], f"c{at}")
    assert [reaches(pods[0], address) for address in ("10.1.0.1", "10.1.0.3", "10.1.0.4")] == [True, False, True]


SQUATTERS = {
    "masquerade": "table inet cni_plugins_masquerade { chain postrouting { type filter hook input priority 0; }; }",
    "spoof-check": "table bridge nat { chain PREROUTING { type filter hook input priority 0; }; }",
}


@pytest.mark.parametrize("table", [pytest.param(text, id=name) for name, text in SQUATTERS.items()])
def test_rules_that_cannot_be_made_undo_the_rest(node: Node, pod: Pod, ip: Ip, table: str) -> None:
    """Somebody has a chain of that name elsewhere: no link, lease or rule of ours is left, and his stand."""
    one = pod()
    node.namespace.run("nft", table)
    before = rules(node)
    with pytest.raises(CniError) as caught:
        node.call("ADD", node.config(ipMasq=True, macspoofchk=True), one)
    assert caught.value.code == 5
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]
    assert (node.links(), node.leases()) == ([], [])
    assert [line for line in rules(node).splitlines() if "saddr" in line or "jump" in line] == []
    assert before.splitlines()[2] in rules(node)


def test_a_later_failure_takes_the_rules_along(node: Node, pod: Pod) -> None:
    """Forwarding cannot be switched on: the spoof check, made before, is gone."""
    (node.folder / "sys/ipv6/conf/all/forwarding").unlink()
    with pytest.raises(CniError, match="forwarding"):
        node.call("ADD", node.config(ipMasq=True, macspoofchk=True), pod())
    assert [line for line in rules(node).splitlines() if "saddr" in line or "jump" in line] == []


def test_many_at_once_share_the_tables(node: Node, pod: Pod) -> None:
    """Threads make and take away tables, chains and rules at the same time; what stands is each pod's own."""
    pods = [pod() for _ in range(5)]
    config = node.config(ipMasq=True, macspoofchk=True)

    def act(verb: str, results: list[Any]) -> list[Any]:
        configs = [config | ({"prevResult": result} if result else {}) for result in results]
        with ThreadPoolExecutor(5) as pool:
            return list(pool.map(lambda n: node.call(verb, configs[n], pods[n], f"c{n}"), range(5)))

    for _ in range(3):
        results = act("ADD", [None] * 5)
        text = rules(node)
        assert [text.count(f"saddr 10.1.0.{last} ") for last in range(2, 7)] == [1] * 5
        assert text.count("goto masq_checks") == 1
        act("CHECK", results)
        act("DEL", results)
        assert [line for line in rules(node).splitlines() if "saddr" in line or "jump" in line] == []


def test_garbage_goes_with_its_rules(node: Node, pod: Pod) -> None:
    """Of attachments that are not valid; those of valid ones and of other networks stay."""
    pods = [pod() for _ in range(3)]
    config = node.config(ipMasq=True, macspoofchk=True)
    other = {"subnet": "10.9.0.0/29"}
    leases = config["ipam"] | {"ranges": [[other]]}
    configs = [config, config, config | {"name": "other", "bridge": "br2", "ipam": leases}]
    for at, one in enumerate(configs):
        node.call("ADD", one, pods[at], f"c{at}")
    valid = [{"containerID": "c0", "ifname": "eth0"}]
    for _ in range(2):
        node.call("GC", config | {"cni.dev/valid-attachments": valid}, None)
    text = rules(node)
    assert [f"cni-br-iface-c{at}-eth0" in text for at in range(3)] == [True, False, True]
    assert [f"saddr {address} " in text for address in ("10.1.0.2", "10.1.0.3", "10.9.0.2")] == [True, False, True]


@pytest.mark.parametrize("after", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4])
def test_a_program_that_is_killed_leaves_nothing_that_del_does_not_find(
    host: Namespace, pod: Pod, tmp_path: Path, ip: Ip, after: float
) -> None:
    """Wherever the ADD was: with the pod gone, too, rules and leases go; the next ADD of the same name succeeds."""
    leases = tmp_path / "leases"
    ranges = [[{"subnet": "10.1.0.0/29"}]]
    config = {
        "cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br1", "ipMasq": True, "macspoofchk": True,
        "ipam": {"type": "host-local", "dataDir": str(leases), "ranges": ranges},
    }  # fmt: skip
    one = pod()

    def start(verb: str, netns: str) -> subprocess.Popen[bytes]:
        variables = {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": netns, "CNI_PATH": "/",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        program = host.command(sys.executable, "-m", "delegates.bridge")
        made = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | variables)
        assert made.stdin is not None
        made.stdin.write(json.dumps(config).encode())
        made.stdin.close()
        return made

    with start("ADD", str(one.path)) as killed:
        time.sleep(after)
        killed.kill()
    with start("DEL", "") as done:
        assert done.wait(20) == 0
    text = host.run("nft", "list", "ruleset")
    assert [line for line in text.splitlines() if "saddr" in line or "jump" in line or "cni-br" in line] == []
    assert [file.name for file in leases.glob("net/10.*")] == []
    with start("DEL", str(one.path)) as done:
        assert done.wait(20) == 0
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]
    with start("ADD", str(one.path)) as done:
        assert done.wait(20) == 0
