# SPDX-License-Identifier: Apache-2.0
"""macvlan on a node of its own: every step that can fail, whoever dies, and what the reference does not have.

What it has in common with the reference is compared in tests/contract.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from delegates.macvlan import DELEGATE
from metacni.cni.errors import CniError
from metacni.netns import groups
from metacni.netns.netlink import Netlink
from tests.kernel.conftest import Ip, Namespace, run_ip
from tests.kernel.delegated import Node, node

Pod = Callable[[], Namespace]


@pytest.fixture
def lan(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node with a link to the outside, on which macvlan works."""
    for command in ("link add e0 type veth peer e1", "link set e0 up", "link set e1 up"):
        host.run("ip", *command.split())
    with node(DELEGATE, host, tmp_path) as made:
        yield made


def config(lan: Node, **more: Any) -> dict[str, Any]:
    """A network of both families with default routes."""
    ipam = lan.ipam(routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
    return {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "e0", "ipam": ipam} | more


def full(lan: Node, _: Namespace) -> dict[str, Any]:
    """The second set has nothing to give."""
    folder = lan.folder / "leases/net"
    folder.mkdir(parents=True)
    for last in range(1, 8):
        (folder / f"fd01::{last}").write_text("somebody\r\neth0")
    return config(lan)


def unreachable(lan: Node, _: Namespace) -> dict[str, Any]:
    """A route whose gateway cannot be reached: the last step of all."""
    return config(lan, ipam=lan.ipam(routes=[{"dst": "10.3.0.0/16", "gw": "10.99.0.1"}]))


def taken(lan: Node, _: Namespace) -> dict[str, Any]:
    """The MAC is another pod's on this master, which shows when the link is to come up."""
    lan.namespace.run("ip", "link", "add", "x0", "link", "e0", "address", "02:00:5e:00:00:09", "type", "macvlan")
    lan.namespace.run("ip", "link", "set", "x0", "up")
    return config(lan, mac="02:00:5e:00:00:09")


def taken_without_addresses(lan: Node, pod: Namespace) -> dict[str, Any]:
    """Likewise."""
    return taken(lan, pod) | {"ipam": {}}


def too_narrow(lan: Node, _: Namespace) -> dict[str, Any]:
    """The kernel has no IPv6 on such a link."""
    return config(lan, mtu=1000)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        pytest.param(full, 11, id="leases"),
        pytest.param(too_narrow, 7, id="addresses"),
        pytest.param(taken, 11, id="up"),
        pytest.param(taken_without_addresses, 11, id="up-without-addresses"),
        pytest.param(unreachable, 7, id="route"),
    ],
)
def test_a_step_that_fails_undoes_those_before(
    lan: Node, pod: Pod, broken: Callable[[Node, Namespace], dict[str, Any]], code: int
) -> None:
    """No link in the pod and no lease of ours."""
    one = pod()
    network = broken(lan, one)
    before = (lan.links(), run_ip(one, "link"), lan.leases())
    with pytest.raises(CniError) as caught:
        lan.call("ADD", network, one)
    assert caught.value.code == code
    assert (lan.links(), run_ip(one, "link"), lan.leases()) == before


def test_killed_anywhere_in_an_add_nothing_stays(lan: Node, pod: Pod) -> None:
    """SIGKILL before each message to the kernel: the runtime's DEL takes away what is there, then ADD works."""
    network = config(lan, mode="passthru")
    for step in itertools.count(1):
        one = pod()
        status = lan.killed("ADD", network, one, before=step)
        lan.killed("DEL", network, one)
        assert (len(run_ip(one, "link")), lan.leases()) == (1, []), step
        if status == 0:
            break
    assert step > 8


def test_killed_anywhere_in_a_del_the_next_one_completes_it(lan: Node, pod: Pod) -> None:
    """Link and leases."""
    network = config(lan)
    for step in itertools.count(1):
        one = pod()
        assert lan.killed("ADD", network, one) == 0
        status = lan.killed("DEL", network, one, before=step)
        lan.killed("DEL", network, one)
        assert (len(run_ip(one, "link")), lan.leases()) == (1, []), step
        if status == 0:
            break
    assert step > 2


def test_the_link_is_in_the_group_that_it_is_deleted_with(lan: Node, pod: Pod, ip: Ip) -> None:
    """And the agent is told its index; nothing stands on the node."""
    one = pod()
    before = lan.links()
    lan.call("ADD", config(lan), one)
    (link,) = ip(one, "link", "show", "eth0")
    assert (link["group"], lan.made, lan.links()) == ("1835232873", [link["ifindex"]], before)


def test_a_link_on_another_of_the_group_goes_with_it(lan: Node, pod: Pod, ip: Ip) -> None:
    """A macvlan on a macvlan of the pod, both deleted by one message to the kernel."""
    one = pod()
    lan.call("ADD", config(lan), one)
    lan.call("ADD", config(lan, master="eth0", linkInContainer=True, ipam={}), one, ifname="net1")
    assert [link["ifname"] for link in ip(one, "link")] == ["lo", "eth0", "net1"]
    fd = one.path.open("rb")
    with fd, Netlink(lan.opener.socket(fd.fileno())) as netlink:
        groups.delete(netlink, lan.made)
    assert [link["ifname"] for link in ip(one, "link")] == ["lo"]


def test_addresses_are_usable_at_once(lan: Node, pod: Pod, ip: Ip) -> None:
    """Two pods and somebody outside answer each other's first packet (IPv6, too), and no address is tentative."""
    one, other = pod(), pod()
    lan.namespace.run("ip", "address", "add", "10.1.0.6/29", "dev", "e1")
    lan.namespace.run("ip", "address", "add", "fd01::6/125", "dev", "e1", "nodad")
    lan.call("ADD", config(lan), one, "c1")
    lan.call("ADD", config(lan), other, "c2")
    for address in ("10.1.0.3", "fd01::3", "10.1.0.6", "fd01::6"):
        assert " 0% packet loss" in one.run("ping", "-c", "1", "-W", "1", address)
    (link,) = ip(one, "-6", "address", "show", "eth0")
    found = [item for item in link["addr_info"] if item["scope"] == "global"]
    assert [(item["nodad"], item.get("tentative", False)) for item in found] == [(True, False)]


def test_a_neighbour_learns_who_has_the_address_now(lan: Node, pod: Pod, ip: Ip) -> None:
    """An address that goes from pod to pod: somebody's stale entries are corrected by the announcement, unasked."""
    watcher, first, second = pod(), pod(), pod()
    lan.call("ADD", config(lan), watcher, "w")
    asked = config(lan, runtimeConfig={"ips": ["10.1.0.5", "fd01::5"]})
    lan.call("ADD", asked, first, "c1")
    for address in ("10.1.0.5", "fd01::5"):
        watcher.run("ping", "-c", "1", "-W", "1", address)
    lan.call("DEL", asked, first, "c1")
    mac = lan.call("ADD", asked, second, "c2")["interfaces"][0]["mac"]
    end = time.monotonic() + 2
    while (known := neighbours(watcher, ip)) != {mac} and time.monotonic() < end:
        time.sleep(0.01)
    assert known == {mac}


def neighbours(watcher: Namespace, ip: Ip) -> set[str]:
    """The MACs that a pod holds for the two addresses."""
    entries = [entry for family in ("-4", "-6") for entry in ip(watcher, family, "neigh")]
    return {entry.get("lladdr", "") for entry in entries if entry["dst"].endswith((".5", "::5"))}


def test_duplicates_are_looked_for_where_that_is_wanted(lan: Node, pod: Pod) -> None:
    """Then an address that another pod has is refused, and everything undone."""
    one, other = pod(), pod()
    asked = {"runtimeConfig": {"ips": ["fd01::5"]}}
    lan.call("ADD", config(lan, **asked), one, "c1")
    (lan.folder / "leases/net/fd01::5").unlink()
    with pytest.raises(CniError, match="'fd01::5/125'") as caught:
        lan.call("ADD", config(lan, enabledad=True, **asked), other, "c2")
    assert (caught.value.code, len(run_ip(other, "link"))) == (11, 1)


def test_del_works_when_master_or_namespace_are_gone(lan: Node, pod: Pod) -> None:
    """Whatever was edited, and a second time."""
    one, other = pod(), pod()
    lan.call("ADD", config(lan), one, "c1")
    lan.call("ADD", config(lan), other, "c2")
    lan.namespace.run("ip", "link", "del", "e0")
    for _ in range(2):
        lan.call("DEL", config(lan, mode="none", mtu="x"), one, "c1")
        lan.call("DEL", config(lan), None, "c2")
    assert lan.leases() == []


def test_garbage_is_collected(lan: Node, pod: Pod) -> None:
    """The leases of what is not valid; the valid one works on."""
    kept = pod()
    result = lan.call("ADD", config(lan), kept, "c1")
    lan.call("ADD", config(lan), pod(), "c2")
    valid = [{"containerID": "c1", "ifname": "eth0"}]
    for _ in range(2):
        lan.call("GC", config(lan) | {"cni.dev/valid-attachments": valid}, None)
    assert lan.leases() == ["10.1.0.2", "fd01::2"]
    lan.call("CHECK", config(lan) | {"prevResult": result}, kept)


def test_a_layer_2_attachment_has_no_address(lan: Node, pod: Pod, ip: Ip) -> None:
    """But is up and passes its CHECK."""
    one = pod()
    result = lan.call("ADD", config(lan, ipam={}), one)
    (link,) = ip(one, "-4", "address", "show", "eth0") or [{}]
    assert (result.get("ips", []), link.get("addr_info", [])) == ([], [])
    assert "UP" in ip(one, "link", "show", "eth0")[0]["flags"]
    lan.call("CHECK", config(lan, ipam={}) | {"prevResult": result}, one)
