# SPDX-License-Identifier: Apache-2.0
"""The resident vrf, on a kernel that has VRFs: steps that fail, two at once, and what belongs to others.

What it has in common with the reference is compared in test_vrf.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from delegates.vrf import DELEGATE
from metacni.cni.errors import CniError
from tests.kernel.conftest import Ip, Namespace
from tests.kernel.resident import Pod, Resident, attached, resident

NET = {"cniVersion": "1.1.0", "name": "net", "type": "vrf", "vrfname": "blue"}
_LATER = ("fe80::", "UP", "UNKNOWN", "DOWN", "LOWERLAYERDOWN", "<")  # the kernel sees to them in its own time


@pytest.fixture
def vrf() -> Iterator[Resident]:
    """The delegate; the socket loads IPv6, which is a module of this kernel."""
    with resident(DELEGATE) as made, socket.socket(socket.AF_INET6):
        yield made


def picture(pod: Namespace) -> list[str]:
    """Links, addresses, routes and rules of the pod, as `ip` tells them, without what the kernel does in its time."""
    links = (["-br", "link"], ["-4", "-br", "address"], ["-6", "-br", "address"])
    routes = (["route", "show", "table", "all"], ["-6", "route", "show", "table", "all"])
    lines = [line for command in links for line in pod.run("ip", *command).splitlines()]
    found = [" ".join(word for word in line.split() if not word.startswith(_LATER)) for line in lines]
    lines = [line.strip() for command in routes for line in pod.run("ip", *command).splitlines()]
    return sorted(found + [line for line in lines if "fe80::" not in line and "ff00::" not in line])


def dual(pod: Namespace, host: Namespace) -> dict[str, Any]:
    """An interface of both families with default routes."""
    prev = attached(pod, host, "10.1.0.2/24", "fd01::2/64")
    pod.run("ip", "route", "add", "default", "via", "10.1.0.1")
    pod.run("ip", "route", "add", "default", "via", "fd01::1")
    return prev


@pytest.mark.parametrize("standing", [False, True], ids=["new-vrf", "standing-vrf"])
def test_a_route_that_cannot_be_moved_undoes_it_all(
    vrf: Resident, pod: Pod, host: Namespace, *, standing: bool
) -> None:
    """Its source is another interface's, which the VRF does not have: link, addresses and routes are as they were."""
    one = pod()
    prev = dual(one, host)
    attached(one, host, "fd09::2/64", ifname="net9")
    one.run("ip", "route", "add", "fd77::/64", "via", "fd01::7", "src", "fd09::2")
    if standing:
        one.run("ip", "link", "add", "blue", "up", "type", "vrf", "table", "33")
    before = picture(one)
    with pytest.raises(CniError, match="cannot move addresses and routes of interface 'eth0'") as caught:
        vrf.call("ADD", NET | {"prevResult": prev}, one)
    assert caught.value.code == 5
    assert picture(one) == before


def test_a_link_that_cannot_be_a_port_leaves_no_vrf(vrf: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """The loopback is none; the VRF that was made for it is gone again."""
    one = pod()
    with pytest.raises(CniError, match="a port of the VRF"):
        vrf.call("ADD", NET | {"prevResult": dual(one, host)}, one, ifname="lo")
    assert sorted(link["ifname"] for link in ip(one, "link")) == ["eth0", "lo"]


def test_two_at_once_share_a_vrf(vrf: Resident, pod: Pod, host: Namespace, ip: Ip) -> None:
    """Made once; taken away once, by whoever is last."""
    one = pod()
    names = ["net0", "net1", "net2"]
    results = [attached(one, host, f"10.{number}.0.2/24", ifname=name) for number, name in enumerate(names, 1)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: vrf.call("ADD", NET | {"prevResult": results[n]}, one, ifname=names[n]), range(3)))
    assert [ip(one, "link", "show", name)[0]["master"] for name in names] == ["blue"] * 3
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: vrf.call("DEL", NET, one, ifname=names[n]), range(3)))
    assert sorted(link["ifname"] for link in ip(one, "link")) == ["lo", *names]


def test_check_wants_the_table_that_is_asked_for(vrf: Resident, pod: Pod, host: Namespace) -> None:
    """Another one has other routes; the reference's CHECK does not look at it."""
    one = pod()
    prev = dual(one, host)
    vrf.call("ADD", NET | {"prevResult": prev, "table": 33}, one)
    for table in (0, 33):
        vrf.call("CHECK", NET | {"prevResult": prev, "table": table}, one)
    with pytest.raises(CniError, match="its table is 33, not 34") as caught:
        vrf.call("CHECK", NET | {"prevResult": prev, "table": 34}, one)
    assert caught.value.code == 999
