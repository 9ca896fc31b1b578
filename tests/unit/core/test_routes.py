# SPDX-License-Identifier: Apache-2.0
"""Default routes over all interfaces and families, and the results after the plan."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from metacni.cni import config
from metacni.cni.names import IfName
from metacni.cni.result import Address, Interface, Result, Route
from metacni.core import routes
from metacni.core.plan import Attachment
from metacni.core.routes import RoutePlan

_V4, _V6 = ip_network("0.0.0.0/0"), ip_network("::/0")
_DUAL = Result(routes=(Route(dst=_V4, gw=ip_address("10.0.0.1")), Route(dst=_V6, gw=ip_address("fd00::1"))))


def _attached(ifname: str, asked: list[str] | None = None) -> Attachment:
    return Attachment(
        network=ifname,
        ifname=IfName(ifname),
        config=config.parse({"name": "lan", "type": "bridge"}),
        capability_args={},
        cni_args="",
        default=ifname == "eth0",
        default_route=None if asked is None else tuple(map(ip_address, asked)),
    )


def _plan(*asked: list[str] | None) -> tuple[list[tuple[str, int]], list[tuple[str, str]]] | None:
    """The plan for eth0, net1, net2 … with these wishes, each with both default routes of its own."""
    attached = [_attached(f"net{index}" if index else "eth0", each) for index, each in enumerate(asked)]
    found = routes.plan(attached, [_DUAL] * len(attached))
    if found is None:
        return None
    return [*found.remove], [(name, str(gateway)) for name, gateway in found.add]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param((None, None), None, id="nobody-asks"),
        pytest.param(
            (None, ["10.1.0.1"]), ([("eth0", 4), ("net1", 4)], [("net1", "10.1.0.1")]), id="one-family-leaves-the-other"
        ),
        pytest.param(
            (None, ["10.1.0.1", "fd01::1"]),
            ([("eth0", 4), ("net1", 4), ("eth0", 6), ("net1", 6)], [("net1", "10.1.0.1"), ("net1", "fd01::1")]),
            id="both-on-one",
        ),
        pytest.param(
            (None, ["10.1.0.1"], ["fd02::1"]),
            (
                [("eth0", 4), ("net1", 4), ("net2", 4), ("eth0", 6), ("net1", 6), ("net2", 6)],
                [("net1", "10.1.0.1"), ("net2", "fd02::1")],
            ),
            id="each-on-its-own",
        ),
        pytest.param(
            (None, [], None),
            ([("eth0", 4), ("net2", 4), ("eth0", 6), ("net2", 6)], []),
            id="empty-keeps-its-own-and-the-others-lose-theirs",
        ),
        pytest.param((None, [], []), ([("eth0", 4), ("eth0", 6)], []), id="two-empty-ones-keep-theirs"),
        pytest.param(
            (None, ["10.1.0.1"], []),
            ([("eth0", 4), ("net1", 4), ("net2", 4), ("eth0", 6), ("net1", 6)], [("net1", "10.1.0.1")]),
            id="a-gateway-beats-an-empty-list-in-its-family",
        ),
    ],
)
def test_the_plan(
    asked: tuple[list[str] | None, ...], expected: tuple[list[tuple[str, int]], list[tuple[str, str]]] | None
) -> None:
    """Whoever asks gets the family; the default routes of that family go everywhere else, and its plugin's own."""
    assert _plan(*asked) == expected


def test_every_interface_in_the_pod_counts() -> None:
    """A plugin may make more than the one it was asked for; interfaces of the host are left alone."""
    links = Result(interfaces=(Interface(name="veth1"), Interface(name="aux0", sandbox="/run/netns/c1")))
    attached = [_attached("eth0"), _attached("net1", ["10.1.0.1"])]
    found = routes.plan(attached, [links, Result()])
    assert found is not None
    assert found.remove == (("eth0", 4), ("aux0", 4), ("net1", 4))


def test_the_results_say_what_is_in_force() -> None:
    """Removed routes are gone from them and added ones are there; other routes and tables stay."""
    attached = [_attached("eth0"), _attached("net1", ["10.1.0.1"])]
    other = Route(dst=ip_network("10.8.0.0/16"), gw=ip_address("10.0.0.1"))
    policy = Route(dst=_V4, gw=ip_address("10.0.0.1"), table=100)
    main = Route(dst=_V4, gw=ip_address("10.0.0.1"), table=254)
    results = [Result(routes=(main, *_DUAL.routes, other, policy)), _DUAL]
    found = routes.plan(attached, results)
    assert routes.apply(found, attached, results) == (
        Result(routes=(_DUAL.routes[1], other, policy)),
        Result(routes=(_DUAL.routes[1], Route(dst=_V4, gw=ip_address("10.1.0.1")))),
    )


def test_an_attachment_with_no_routes_gets_the_one_asked_for() -> None:
    """For both families, whatever its plugin did."""
    attached = [_attached("net1", ["fd01::1"])]
    assert routes.apply(RoutePlan(remove=(), add=((IfName("net1"), ip_address("fd01::1")),)), attached, [Result()]) == (
        Result(routes=(Route(dst=_V6, gw=ip_address("fd01::1")),)),
    )


def test_without_a_plan_the_results_stay() -> None:
    """Nobody asked."""
    assert routes.apply(None, [_attached("eth0")], [_DUAL]) == (_DUAL,)


_LAN = Result(
    ips=(
        Address(address=ip_interface("fd00::5/64"), gateway=ip_address("fd00::1")),
        Address(address=ip_interface("10.0.0.5/24")),
        Address(address=ip_interface("10.0.1.5/24"), gateway=ip_address("10.0.1.1")),
    )
)


@pytest.mark.parametrize(
    ("route", "result", "expected"),
    [
        pytest.param(_DUAL.routes[0], _LAN, "10.0.0.1", id="its-own"),
        pytest.param(Route(dst=_V4), _LAN, "10.0.1.1", id="of-an-address-of-its-family"),
        pytest.param(Route(dst=_V4), Result(), "None", id="none"),
    ],
)
def test_the_next_hop_of_a_route(route: Route, result: Result, expected: str) -> None:
    """Its own, or else the gateway of an address."""
    assert str(routes.gateway(route, result)) == expected
