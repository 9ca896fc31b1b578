# SPDX-License-Identifier: Apache-2.0
"""Every folder of examples/ runs, and shows what its README says; the demo touches nothing that is not its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts
from tests.kernel.conftest import Ip
from tests.kernel.node import ANNOTATION, DEBIAN_PLUGINS, Node, Pod, made_node

EXAMPLES = parts.ROOT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/node.conflist"))
INTERFACES = {"conflist": 4, "default-route": 4, "demo": 6, "json-form": 6, "on-disk": 4, "requested-address": 4}
PLUGINS = [pytest.param(DEBIAN_PLUGINS, id="Debian's plugins"), pytest.param(parts.PLUGINS, id="built plugins")]

both_plugins = pytest.mark.parametrize("plugins", PLUGINS)
built_plugins = pytest.mark.parametrize("plugins", PLUGINS[1:])


@pytest.fixture
def node(tmp_path: Path, plugins: Path) -> Iterator[Node]:
    """A node with either set of plugins."""
    with made_node(tmp_path, plugins) as made:
        yield made


def demo(folder: Path, plugins: Path, *, on: Node | None = None) -> subprocess.CompletedProcess[str]:
    """Run `metacni demo`, on the machine or on a node of ours."""
    command = [
        *(sys.executable, "-m", "metacni.cli.main", "demo", "--examples", str(folder), "--plugins", str(plugins)),
    ]
    argv = command if on is None else on.inside("env", f"PYTHONPATH={parts.ROOT}", *command)
    return subprocess.run(argv, cwd=parts.ROOT, capture_output=True, text=True, timeout=60, check=False)


@both_plugins
@pytest.mark.parametrize("name", NAMES)
def test_the_demo_runs_every_example(plugins: Path, name: str) -> None:
    """Two pods are attached, every network carries traffic, and nothing is left."""
    done = demo(EXAMPLES / name, plugins)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"demo: ok, 2 pods, {INTERFACES[name]} interfaces, 0 leftovers"


@pytest.mark.parametrize("name", NAMES)
def test_every_example_says_what_it_shows_and_how_to_run_it(name: str) -> None:
    """A README beside the files, with the command; the index names it."""
    command = f"metacni demo --examples examples/{name}"
    assert command in (EXAMPLES / name / "README.md").read_text()


def test_the_index_names_every_folder() -> None:
    """Those that the demo plays, and those that are for a real node."""
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert folders == sorted([*NAMES, "agent-pod", "first-pod", "own-delegate"])
    assert sorted(INTERFACES) == NAMES
    index = (EXAMPLES / "README.md").read_text()
    assert [name for name in folders if f"]({name}/README.md)" not in index] == []


def attach_example(node: Node, name: str) -> tuple[Pod, Pod, dict[str, Any]]:
    """Both pods of an example on a node, attached; and the first's result."""
    folder = EXAMPLES / name
    shutil.copy(folder / "definitions.yaml", node.definitions)
    body = json.loads((folder / "node.conflist").read_text())
    node.config = body["plugins"][0] | {"name": body["name"], "cniVersion": body["cniVersion"]}
    if (folder / "net.d").is_dir():
        node.config["confDir"] = str(folder / "net.d")
    node.start()
    wishes = [
        one["metadata"]["annotations"][ANNOTATION]
        for one in yaml.safe_load_all((folder / "definitions.yaml").read_text())
        if one["kind"] == "Pod"
    ]
    left, right = (node.pod(wish) for wish in wishes)
    result = node.add(left)
    node.add(right)
    return left, right, result


def detach(node: Node, *pods: Pod) -> None:
    """DEL, and nothing is left."""
    for pod in pods:
        node.delete(pod)
    assert node.left(*pods) == []


def show_comma_form(_: Node, left: Pod, right: Pod, result: dict[str, Any], ip: Ip) -> None:
    """`lan, storage` become net1 and net2, a bridge's veth and a macvlan."""
    assert left.addresses() == {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"], "net2": ["10.20.0.2/24"]}
    assert [one["address"] for one in result["ips"]] == ["10.88.0.2/24", "10.10.0.2/24", "10.20.0.2/24"]
    assert kinds(right, ip) == {"eth0": "veth", "net1": "veth", "net2": "macvlan"}


def show_json_form(_: Node, left: Pod, right: Pod, result: dict[str, Any], ip: Ip) -> None:
    """An interface with a name of its own uses its number up all the same."""
    assert result["interfaces"][-1]["name"] == "net2"
    assert kinds(left, ip) == {"eth0": "veth", "office": "veth", "net2": "macvlan"}
    assert right.addresses()["office"] == ["10.10.0.3/24"]


def show_conflist(_: Node, left: Pod, _right: Pod, _result: dict[str, Any], ip: Ip) -> None:
    """The second plugin of the list has set the MTU and a sysctl."""
    links = {one["ifname"]: one["mtu"] for one in ip(left.namespace, "link")}
    assert (links["net1"], links["eth0"]) == (1400, 1500)
    assert left.namespace.run("sysctl", "-n", "net.ipv4.conf.net1.arp_filter") == "1\n"


def show_default_route(node: Node, left: Pod, _right: Pod, result: dict[str, Any], ip: Ip) -> None:
    """The pod's default route leads through net1, and nothing says otherwise."""
    (route,) = ip(left.namespace, "route", "show", "default")
    assert (route["gateway"], route["dev"]) == ("10.50.0.1", "net1")
    assert [one for one in result["routes"] if one["dst"] == "0.0.0.0/0"] == [{"dst": "0.0.0.0/0", "gw": "10.50.0.1"}]
    assert [one.get("gateway") for one in node.file_of(left, "published")] == [None, ["10.50.0.1"]]
    assert node.call("CHECK", left).status == 0


def show_on_disk(_: Node, left: Pod, _right: Pod, _result: dict[str, Any], ip: Ip) -> None:
    """The definition is empty; what is attached stands in a file of the node."""
    assert left.addresses()["net1"] == ["10.40.0.2/24"]
    assert kinds(left, ip)["net1"] == "macvlan"


def show_requested_address(_: Node, left: Pod, right: Pod, result: dict[str, Any], ip: Ip) -> None:
    """Each pod has the address and the MAC that it asked for."""
    assert (left.addresses()["net1"], right.addresses()["net1"]) == (["10.10.0.100/24"], ["10.10.0.101/24"])
    macs = {one["ifname"]: one["address"] for pod in (left, right) for one in ip(pod.namespace, "link", "show", "net1")}
    assert macs == {"net1": "02:00:00:00:00:65"}
    assert [one["mac"] for one in result["interfaces"] if one["name"] == "net1"] == ["02:00:00:00:00:64"]


Show = Callable[[Node, Pod, Pod, dict[str, Any], Ip], None]
SHOWN: Mapping[str, Show] = {
    "conflist": show_conflist,
    "default-route": show_default_route,
    "demo": show_comma_form,
    "json-form": show_json_form,
    "on-disk": show_on_disk,
    "requested-address": show_requested_address,
}


def kinds(pod: Pod, ip: Ip) -> dict[str, str]:
    """Interface → what kind of link it is."""
    found = ip(pod.namespace, "-d", "link")
    return {one["ifname"]: one["linkinfo"]["info_kind"] for one in found if one["ifname"] != "lo"}


@both_plugins
@pytest.mark.parametrize("name", NAMES)
def test_every_example_shows_what_it_says(node: Node, ip: Ip, name: str) -> None:
    """What the kernel says of the pods is what the README announces."""
    left, right, result = attach_example(node, name)
    SHOWN[name](node, left, right, result, ip)
    detach(node, left, right)


@both_plugins
def test_the_files_of_the_first_pod_attach_it(node: Node, ip: Ip) -> None:
    """They are for a real node (the cluster tests apply them there); the same networks come out here."""
    folder = EXAMPLES / "first-pod"
    for name in ("network.yaml", "pod.yaml"):
        shutil.copy(folder / name, node.definitions)
    body = json.loads((folder / "00-metacni.conflist").read_text())
    node.config = body["plugins"][0] | {"name": body["name"], "cniVersion": body["cniVersion"]}
    node.start()
    pod = node.pod()
    given = {"args": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=first"}
    node.add(pod, body=node.config | {"binDir": str(node.bin)}, **given)
    assert pod.addresses() == {"eth0": ["10.88.0.2/16"], "net1": ["10.10.0.2/24"]}
    assert kinds(pod, ip) == {"eth0": "veth", "net1": "veth"}
    detach(node, pod)


def snapshot(node: Node) -> dict[str, Any]:
    """All that the demo could touch of a node: its links, its leases and state, its /run."""
    files = [
        path for folder in ("run", "varlib") for path in (node.root / folder).rglob("*") if path.parent.name != "netns"
    ]
    fresh = {"alive", "agent.log"}
    return {
        "links": node.sh("ip", "-o", "link"),
        "routes": node.sh("ip", "-4", "route", "show", "table", "all"),
        "rules": node.sh("nft", "list", "ruleset"),
        "mounts": [line for line in node.sh("cat", "/proc/self/mountinfo").splitlines() if "/run/netns/" not in line],
        "files": sorted((str(path), path.is_file() and path.name not in fresh and path.read_bytes()) for path in files
                        if not path.is_socket()),
    }  # fmt: skip


@built_plugins
def test_the_demo_runs_beside_a_live_agent_and_changes_nothing(node: Node) -> None:
    """Its names are those of the node's own networks, and still neither meets the other."""
    left, right, _ = attach_example(node, "demo")
    before = snapshot(node)
    done = demo(EXAMPLES / "demo", node.plugins, on=node)
    assert done.returncode == 0, done.stdout + done.stderr
    assert snapshot(node) == before
    assert node.call("CHECK", right).status in (0, 1)  # answered: the agent lives
    left.ping("net2", right.addresses()["net2"][0])
    detach(node, left, right)


@built_plugins
def test_the_demo_makes_the_folder_of_leases_only_for_itself(node: Node) -> None:
    """On a machine where no CNI plugin ever ran there is no /var/lib/cni, and there is none afterwards."""
    (node.root / "varlib/cni").rmdir()
    done = demo(EXAMPLES / "demo", node.plugins, on=node)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (node.root / "varlib/cni").exists()


@built_plugins
def test_a_demo_that_fails_ends_non_zero_with_the_reason(node: Node, tmp_path: Path) -> None:
    """A network that cannot be attached is named, and the node is as it was."""
    broken = tmp_path / "broken"
    shutil.copytree(EXAMPLES / "demo", broken)
    text = (broken / "definitions.yaml").read_text()
    (broken / "definitions.yaml").write_text(text.replace('"master": "eth1"', '"master": "eth9"'))
    before = snapshot(node)
    done = demo(broken, node.plugins, on=node)
    assert done.returncode == 1
    assert "demo/storage" in done.stdout
    assert snapshot(node) == before
