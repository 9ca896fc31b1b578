# SPDX-License-Identifier: Apache-2.0
"""host-device on a node of its own: a NIC that is never lost, whatever fails and whoever dies.

What it has in common with the reference is compared in tests/contract.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from delegates import host_device
from delegates._hardware import Hardware
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace
from tests.kernel.delegated import Node, node
from tests.kernel.nics import MAC, auxiliary, nic, pci, shown

Pod = Callable[[], Namespace]
LAYER2: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "host-device", "device": "nic0"}
LENT = {"mac": MAC, "mtu": 1400, "up": True, "alias": "uplink, rack 7", "names": ["altnic"]}
OTHER = "02:00:5e:00:00:55"
HOME = "metacni:net:c1:eth0"


@pytest.fixture
def lender(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node with a NIC that has all that can be lost."""
    nic(host, mtu=1400)
    host.run("ip", "link", "set", "nic0", "alias", "uplink, rack 7")
    host.run("ip", "link", "property", "add", "dev", "nic0", "altname", "altnic")
    with node(host_device.over(Hardware(tmp_path / "tree")), host, tmp_path) as made:
        assert shown(host, "nic0") == LENT
        yield made


def test_a_nic_is_lent_and_comes_back_as_it_was(lender: Node, pod: Pod, ip: Ip) -> None:
    """Whatever the pod has done to it: MAC, MTU, being up or down; never part of the group that goes at once."""
    one = pod()
    result = lender.call("ADD", LAYER2, one)
    assert result["interfaces"] == [{"name": "eth0", "mac": MAC, "sandbox": str(one.path)}]
    (link,) = ip(one, "link", "show", "eth0")
    assert (link["ifalias"], link["group"], "UP" in link["flags"]) == ("nic0", "default", True)
    assert link["altnames"] == ["altnic", HOME, f"metacni-was:nic0:1:1400:{MAC.replace(':', '')}:uplink%2C%20rack%207"]
    assert lender.made == []
    one.run("ip", "link", "set", "eth0", "down", "address", "02:00:5e:00:00:77", "mtu", "1300")
    for _ in range(2):
        assert lender.call("DEL", LAYER2, one) is None
    assert shown(lender.namespace, "nic0") == LENT
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]


def test_a_nic_that_was_down_stays_down(lender: Node, pod: Pod) -> None:
    """On the node; in the pod it is up."""
    lender.namespace.run("ip", "link", "set", "nic0", "down")
    one = pod()
    lender.call("ADD", LAYER2, one)
    found = shown(one, "eth0")
    assert found
    assert found["up"]
    lender.call("DEL", LAYER2, one)
    assert shown(lender.namespace, "nic0") == LENT | {"up": False}


def usurp(lender: Node) -> None:
    """Have another link of the node take the NIC's name."""
    lender.namespace.run("ip", "link", "add", "nic0", "address", OTHER, "type", "veth", "peer", "far-nic0")


def test_a_name_that_was_taken_meanwhile(lender: Node, pod: Pod) -> None:
    """The NIC is back under another one, which its remark explains; DEL succeeds, and the other link is left alone."""
    one = pod()
    lender.call("ADD", LAYER2, one)
    usurp(lender)
    for other in ("eth0", "dev0"):  # the name that it has in the pod, and the kernel's first idea
        lender.namespace.run("ip", "link", "add", other, "type", "veth", "peer", f"far-{other}")
    lender.call("DEL", LAYER2, one)
    (name,) = (name for name in lender.links() if name.startswith("dev") and name != "dev0")
    assert shown(lender.namespace, name) == LENT | {"alias": "nic0"}
    assert (shown(lender.namespace, "nic0") or {})["mac"] == OTHER


def test_a_name_that_was_taken_while_the_other_is_free(lender: Node, pod: Pod) -> None:
    """The kernel moves it and fails at the name: it has come home under the pod's name, and is used from there."""
    one = pod()
    lender.call("ADD", LAYER2, one)
    usurp(lender)
    lender.call("DEL", LAYER2, one)
    assert shown(lender.namespace, "eth0") == LENT | {"alias": "nic0"}
    lender.namespace.run("ip", "link", "del", "nic0")
    lender.namespace.run("ip", "link", "set", "eth0", "down")
    result = lender.call("ADD", LAYER2, one)
    assert result["interfaces"][0]["mac"] == MAC


def homecoming(lender: Node, one: Namespace) -> None:
    """Do what the kernel does to a NIC when a pod's namespace dies: as it is, down, home."""
    one.run("ip", "link", "set", "eth0", "netns", lender.namespace.name)


@pytest.mark.parametrize("verb", ["DEL", "GC", "ADD"])
def test_a_nic_that_the_kernel_has_brought_home(lender: Node, pod: Pod, verb: str) -> None:
    """It stands on the node under the pod's name for it: DEL without a namespace, GC, and the next ADD see to it."""
    one = pod()
    lender.call("ADD", LAYER2, one)
    homecoming(lender, one)
    assert shown(lender.namespace, "nic0") is None
    if verb == "ADD":
        other = pod()
        result = lender.call("ADD", LAYER2, other, "c2")
        assert result["interfaces"][0]["mac"] == MAC
        lender.call("DEL", LAYER2, other, "c2")
    else:
        lender.call(verb, LAYER2 | {"cni.dev/valid-attachments": []}, None)
    assert shown(lender.namespace, "nic0") == LENT


def test_garbage_collection_leaves_what_is_valid_or_anothers(lender: Node, pod: Pod) -> None:
    """An attachment that is listed, and other networks' links."""
    one = pod()
    lender.call("ADD", LAYER2, one)
    homecoming(lender, one)
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    lender.call("GC", LAYER2 | {"cni.dev/valid-attachments": valid}, None)
    lender.call("GC", LAYER2 | {"cni.dev/valid-attachments": [], "name": "ne"}, None)
    assert shown(lender.namespace, "eth0") is not None
    lender.call("GC", LAYER2 | {"cni.dev/valid-attachments": []}, None)
    assert shown(lender.namespace, "nic0") == LENT


def test_a_pod_that_renames_its_nic_does_not_keep_it(lender: Node, pod: Pod) -> None:
    """It is found by what stands on it, whatever it is called and whatever has the name now."""
    one = pod()
    lender.call("ADD", LAYER2, one)
    one.run("ip", "link", "set", "eth0", "down", "name", "mine", "alias", "")
    one.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
    lender.call("DEL", LAYER2, one)
    assert shown(lender.namespace, "nic0") == LENT
    assert shown(one, "eth0") is not None


def full(lender: Node) -> dict[str, Any]:
    """The second set has nothing to give."""
    folder = lender.folder / "leases/net"
    folder.mkdir(parents=True)
    for last in range(1, 8):
        (folder / f"fd01::{last}").write_text("somebody\r\neth0")
    return LAYER2 | {"ipam": lender.ipam()}


def unreachable(lender: Node) -> dict[str, Any]:
    """A route whose gateway cannot be reached."""
    routes = [{"dst": "10.2.0.0/16", "gw": "10.1.0.3"}, {"dst": "10.3.0.0/16", "gw": "10.99.0.1"}]
    return LAYER2 | {"ipam": lender.ipam(routes=routes)}


@pytest.mark.parametrize(
    ("broken", "code"), [pytest.param(full, 11, id="leases"), pytest.param(unreachable, 7, id="route")]
)
def test_a_step_that_fails_undoes_those_before(
    lender: Node, pod: Pod, ip: Ip, broken: Callable[[Node], dict[str, Any]], code: int
) -> None:
    """The NIC is back, up and with all it had; no lease of ours; then the same pod can have it."""
    one = pod()
    config = broken(lender)
    others = lender.leases()
    with pytest.raises(CniError) as caught:
        lender.call("ADD", config, one)
    assert caught.value.code == code
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]
    assert shown(lender.namespace, "nic0") == LENT
    assert lender.leases() == others
    lender.call("ADD", LAYER2, one)


def test_a_move_that_fails_leaves_no_mark(lender: Node, pod: Pod) -> None:
    """The pod has a link with the NIC's alternative name, so the kernel refuses at the last moment."""
    one = pod()
    one.run("ip", "link", "add", "x0", "type", "veth", "peer", "x1")
    one.run("ip", "link", "property", "add", "dev", "x0", "altname", "altnic")
    with pytest.raises(CniError, match="cannot move device 'nic0' to the pod: file exists"):
        lender.call("ADD", LAYER2, one)
    assert shown(lender.namespace, "nic0") == LENT


def test_two_pods_cannot_have_one_nic(lender: Node, pod: Pod) -> None:
    """The second one is told; the first one keeps it, also through the second one's DEL."""
    one, two = pod(), pod()
    lender.call("ADD", LAYER2, one)
    with pytest.raises(CniError) as caught:
        lender.call("ADD", LAYER2, two, "c2")
    assert (caught.value.code, caught.value.details) == (7, "it may be in another pod")
    lender.call("DEL", LAYER2, two, "c2")
    assert shown(one, "eth0") is not None


@pytest.mark.parametrize("ending", ["pod-lives", "pod-dies"])
def test_killed_anywhere_in_an_add_it_comes_back(lender: Node, pod: Pod, ending: str) -> None:
    """SIGKILL before each message to the kernel: the runtime's DEL has NIC and leases back, with the pod or without."""
    config = LAYER2 | {"ipam": lender.ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.1.0.3"}])}
    for step in itertools.count(1):
        one = pod()
        status = lender.killed("ADD", config, one, before=step)
        if ending == "pod-dies" and shown(one, "eth0"):
            homecoming(lender, one)
        lender.killed("DEL", config, one if ending == "pod-lives" else None)
        assert shown(lender.namespace, "nic0") == LENT, step
        assert lender.leases() == [], step
        if status == 0:
            break
    assert step > 12


def test_killed_anywhere_in_a_del_it_comes_back(lender: Node, pod: Pod) -> None:
    """The next DEL completes it."""
    config = LAYER2 | {"ipam": lender.ipam()}
    for step in itertools.count(1):
        one = pod()
        assert lender.killed("ADD", config, one) == 0
        one.run("ip", "link", "set", "eth0", "down", "address", "02:00:5e:00:00:77", "mtu", "1300")
        status = lender.killed("DEL", config, one, before=step)
        lender.killed("DEL", config, one)
        assert shown(lender.namespace, "nic0") == LENT, step
        assert lender.leases() == [], step
        if status == 0:
            break
    assert step > 8


def test_addresses_are_usable_and_told_at_once(lender: Node, pod: Pod, ip: Ip) -> None:
    """No address is tentative, and who stands on the wire gets the first answer."""
    one = pod()
    lender.namespace.run("ip", "address", "add", "10.1.0.1/29", "dev", "wire-nic0")
    lender.namespace.run("ip", "address", "add", "fd01::1/125", "dev", "wire-nic0", "nodad")
    lender.call("ADD", LAYER2 | {"ipam": lender.ipam()}, one)
    (link,) = ip(one, "-6", "address", "show", "eth0")
    addresses = [item for item in link["addr_info"] if item["scope"] == "global"]
    assert [(item["local"], item.get("tentative", False)) for item in addresses] == [("fd01::2", False)]
    for address in ("10.1.0.1", "fd01::1"):
        assert " 0% packet loss" in one.run("ping", "-c", "1", "-W", "2", address)


@pytest.mark.parametrize(
    "named",
    [
        pytest.param({"pciBusID": "0000:3b:02.1"}, id="pci"),
        pytest.param({"runtimeConfig": {"deviceID": "0000:3b:02.1"}}, id="allocated"),
        pytest.param({"runtimeConfig": {"deviceID": "mlx5_core.sf.4"}}, id="auxiliary"),
        pytest.param({"kernelpath": "/sys/devices/pci0000:3a/0000:3b:02.1"}, id="kernel-path"),
        pytest.param({"hwaddr": MAC}, id="mac"),
    ],
)
def test_a_nic_is_found_by_its_hardware(lender: Node, pod: Pod, named: dict[str, Any]) -> None:
    """In the tree that is handed in, not in this machine's."""
    tree = lender.folder / "tree"
    pci(tree, "0000:3b:02.1", net="nic0", driver="ice")
    auxiliary(tree, "mlx5_core.sf.4", "nic0")
    (tree / "devices/pci0000:3a/0000:3b:02.1/net/nic0").mkdir(parents=True)
    one = pod()
    config = {key: value for key, value in LAYER2.items() if key != "device"} | named
    result = lender.call("ADD", config, one)
    assert result["interfaces"][0]["mac"] == MAC
    lender.call("CHECK", config | {"prevResult": result}, one)
    lender.call("DEL", config, one)
    assert shown(lender.namespace, "nic0") == LENT
