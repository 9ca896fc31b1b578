# SPDX-License-Identifier: Apache-2.0
"""ipvlan on a node of its own, on a kernel that looks for names beside the master: whoever dies, and what is better.

What it has in common with the reference is compared in test_sublinks.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from delegates.ipvlan import DELEGATE
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace, run_ip
from tests.kernel.delegated import Node, node

Pod = Callable[[], Namespace]


@pytest.fixture
def lan(host: Namespace, tmp_path: Path) -> Iterator[Node]:
    """A node with a link to the outside, and one that has the name of the pods' interface."""
    for command in ("link add e0 type veth peer e1", "link set e0 up", "link set e1 up", "link add eth0 type dummy"):
        host.run("ip", *command.split())
    with node(DELEGATE, host, tmp_path) as made:
        yield made


def config(lan: Node, **more: Any) -> dict[str, Any]:
    """A network of both families."""
    return {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan", "master": "e0", "ipam": lan.ipam()} | more


def test_killed_anywhere_in_an_add_nothing_stays(lan: Node, pod: Pod) -> None:
    """SIGKILL before each message to the kernel, the renaming too: the runtime's DEL takes away what is there."""
    network = config(lan, ipam=lan.ipam(ranges=[[{"subnet": "10.1.0.0/29"}]]))
    one = pod()
    for step in itertools.count(1):
        status = lan.killed("ADD", network, one, before=step)
        lan.call("DEL", network, one)
        assert ([link["ifname"] for link in run_ip(one, "link")], lan.leases()) == (["lo"], []), step
        if status == 0:
            break
    assert step > 9


def test_addresses_are_usable_at_once(lan: Node, pod: Pod, ip: Ip) -> None:
    """Two pods answer each other's first packet, IPv6 too, and no address is tentative."""
    one, other = pod(), pod()
    lan.call("ADD", config(lan), one, "c1")
    lan.call("ADD", config(lan), other, "c2")
    for address in ("10.1.0.3", "fd01::3"):
        assert " 0% packet loss" in one.run("ping", "-c", "1", "-W", "2", address)
    (link,) = ip(one, "-6", "address", "show", "eth0")
    found = [item for item in link["addr_info"] if item["scope"] == "global"]
    assert [(item["nodad"], item.get("tentative", False)) for item in found] == [(True, False)]
    assert [link["group"] for link in ip(one, "link", "show", "eth0")] == ["1835232873"]


@pytest.mark.parametrize(
    ("command", "more", "code"),
    [
        pytest.param("link add p0 link e0 type macvlan", {}, 11, id="another-kind-on-the-master"),
        pytest.param("link del e0", {}, 7, id="no-master"),
        pytest.param("link show", {"mtu": 1000}, 7, id="too-narrow-for-ipv6"),
    ],
)
def test_a_step_that_fails_undoes_those_before(
    lan: Node, pod: Pod, command: str, more: dict[str, Any], code: int
) -> None:  # fmt: skip
    """Nothing in the pod, no lease."""
    one = pod()
    lan.namespace.run("ip", *command.split())
    with pytest.raises(CniError) as caught:
        lan.call("ADD", config(lan, **more), one)
    assert caught.value.code == code
    assert ([link["ifname"] for link in run_ip(one, "link")], lan.leases()) == (["lo"], [])


def test_del_works_when_the_master_is_gone(lan: Node, pod: Pod) -> None:
    """The reference's asks for it; ours gives the addresses back, however often."""
    one = pod()
    lan.call("ADD", config(lan), one)
    lan.namespace.run("ip", "link", "del", "e0")
    for _ in range(2):
        lan.call("DEL", config(lan, master=""), one)
    assert lan.leases() == []
