# SPDX-License-Identifier: Apache-2.0
"""`default-route` on real namespaces: the pod's routes, the result, the status and CHECK all say the same."""

import json
from typing import Any

import pytest

from tests.kernel.conftest import Ip
from tests.kernel.networks import bridge, node_config
from tests.kernel.node import Node, Pod, node_both_ways

node = node_both_ways

DUAL = "10.50.0.0/24 fd00:50::/64"


def define(node: Node) -> None:
    """A default network and two uplinks, all in both families; `leading` brings default routes of its own."""
    node.config = node_config("1.1.0")
    default = bridge("10.88.0.0/24 fd00:88::/64", name="cni0", version="1.1.0", isDefaultGateway=True)
    node.config["delegates"] = [default | {"name": "pod-network"}]
    node.define("first", bridge(DUAL, name="first0", version="1.1.0"))
    node.define("second", bridge("10.60.0.0/24 fd00:60::/64", name="second0", version="1.1.0"))
    node.define("leading", bridge("10.70.0.0/24 fd00:70::/64", name="leading0", version="1.1.0", isDefaultGateway=True))


def ways_out(pod: Pod, ip: Ip) -> list[tuple[str, str]]:
    """Every default route of the main table, IPv4's first: (gateway, interface)."""
    routes = [one for family in ("-4", "-6") for one in ip(pod.namespace, family, "route", "show", "default")]
    hops = [hop for route in routes for hop in route.get("nexthops", [route])]
    return [(hop["gateway"], hop.get("dev", "")) for hop in hops]


def defaults(result: dict[str, Any]) -> list[str]:
    """The gateways of a result's default routes."""
    return [route["gw"] for route in result["routes"] if route["dst"].endswith("/0")]


WISHES = [
    pytest.param(
        [{"name": "first", "default-route": ["10.50.0.1", "fd00:50::1"]}],
        [("10.50.0.1", "net1"), ("fd00:50::1", "net1")],
        id="both families through one network",
    ),
    pytest.param(
        [{"name": "first", "default-route": ["10.50.0.1"]}, {"name": "second", "default-route": ["fd00:60::1"]}],
        [("10.50.0.1", "net1"), ("fd00:60::1", "net2")],
        id="each family through another network",
    ),
    pytest.param(
        [{"name": "first", "default-route": ["10.50.0.1"]}],
        [("10.50.0.1", "net1"), ("fd00:88::1", "eth0")],
        id="one family only: the other stays",
    ),
    pytest.param(
        [{"name": "leading", "default-route": []}],
        [("10.70.0.1", "net1"), ("fd00:70::1", "net1")],
        id="an empty list keeps what the network brings",
    ),
    pytest.param(
        [{"name": "leading"}, {"name": "first", "default-route": ["10.50.0.254", "fd00:50::1"]}],
        [("10.50.0.254", "net2"), ("fd00:50::1", "net2")],
        id="a network that brings routes unasked loses them",
    ),
]


@pytest.mark.parametrize(("wish", "expected"), WISHES)
def test_the_default_route_leads_where_the_pod_wants_it(
    node: Node, ip: Ip, wish: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    """The kernel has these default routes and no other, and everything that we tell agrees."""
    define(node)
    node.start()
    pod = node.pod(json.dumps(wish))
    result = node.add(pod)
    assert ways_out(pod, ip) == expected
    assert sorted(defaults(result)) == sorted(gateway for gateway, _ in expected)
    told = [(gateway, one["interface"]) for one in node.file_of(pod, "published") for gateway in one.get("gateway", [])]
    assert sorted(told) == sorted(expected)
    checked = node.call("CHECK", pod)
    assert checked.status == 0, checked.message
    node.delete(pod)
    assert node.left(pod) == []


REFUSED = [
    pytest.param([{"name": "first", "default-route": ["10.99.0.1"]}], "10.99.0.1", id="a gateway on no network"),
    pytest.param([{"name": "first", "default-route": ["10.60.0.1"]}], "10.60.0.1", id="another network's gateway"),
    pytest.param(
        [{"name": "first", "default-route": ["10.50.0.1"]}, {"name": "second", "default-route": ["10.60.0.1"]}],
        "one IPv4 gateway",
        id="two gateways of one family",
    ),
]


@pytest.mark.parametrize(("wish", "said"), REFUSED)
def test_a_gateway_that_cannot_be_used_fails_the_add_and_takes_all_back(
    node: Node, wish: list[dict[str, Any]], said: str
) -> None:
    """The routes are the last step, and its failure undoes every attachment like any other (B39)."""
    define(node)
    node.start()
    pod = node.pod(json.dumps(wish))
    answer = node.call("ADD", pod)
    assert answer.code == 7, answer.message
    assert said in answer.message
    assert node.left(pod) == []
