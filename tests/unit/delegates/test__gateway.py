# SPDX-License-Identifier: Apache-2.0
"""Which gateways and default routes a network with a gateway has; on a real bridge they stand in tests/contract."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from delegates import _gateway
from metacni.cni.result import Address, Result, Route

V4, V6 = Address(address=ip_interface("10.1.0.5/24")), Address(address=ip_interface("fd01::5/64"))
OWN = Address(address=ip_interface("10.2.0.5/24"), gateway=ip_address("10.2.0.9"))


def test_each_address_has_a_gateway() -> None:
    """The IPAM's, else the first of the subnet."""
    result = _gateway.with_gateways(Result(ips=(V4, V6, OWN)))
    assert [str(item.gateway) for item in result.ips] == ["10.1.0.1", "fd01::1", "10.2.0.9"]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([], [("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd01::1")], id="none-yet"),
        pytest.param([("10.9.0.0/16", None)], [("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd01::1")], id="another"),
        pytest.param([("0.0.0.0/0", "10.1.0.7")], [("::/0", "fd01::1")], id="one-with-a-next-hop"),
        pytest.param([("0.0.0.0/0", None)], [("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd01::1")], id="one-without"),
    ],
)
def test_each_family_has_one_default_route(
    routes: list[tuple[str, str | None]], expected: list[tuple[str, str]]
) -> None:  # fmt: skip
    """Over its first address's gateway; behind the IPAM's routes."""
    given = tuple(Route(dst=ip_network(dst), gw=ip_address(gw) if gw else None) for dst, gw in routes)
    second = Address(address=ip_interface("10.3.0.5/24"))
    result = _gateway.with_default_routes(_gateway.with_gateways(Result(ips=(V4, V6, second), routes=given)))
    added = result.routes[len(given) :]
    assert result.routes[: len(given)] == given
    assert [(str(route.dst), str(route.gw)) for route in added] == expected
