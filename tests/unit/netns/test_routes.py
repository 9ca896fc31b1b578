# SPDX-License-Identifier: Apache-2.0
"""The route verbs as bytes for a kernel in memory."""

import struct
from ipaddress import ip_address, ip_network

import pytest

from metacni.cni.result import Route
from metacni.netns import routes, wire
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.routes import Standing
from tests.unit.netns.kernels import DONE, Kernel, handle

NET = ip_network("10.2.0.0/16")


@pytest.mark.parametrize(
    ("route", "gateway", "header", "attributes"),
    [
        pytest.param(Route(dst=NET), "10.1.0.1", "02 10 00 00 fe 03 00 01", {1, 4, 5}, id="via-a-gateway"),
        pytest.param(Route(dst=NET), None, "02 10 00 00 fe 03 00 01", {1, 4}, id="on-the-link"),
        pytest.param(Route(dst=ip_network("::/0")), "fd01::1", "0a 00 00 00 fe 03 00 01", {4, 5}, id="ipv6-default"),
        pytest.param(Route(dst=NET, table=100), None, "02 10 00 00 64 03 00 01", {1, 4}, id="small-table"),
        pytest.param(Route(dst=NET, table=1000), None, "02 10 00 00 00 03 00 01", {1, 4, 15}, id="large-table"),
        pytest.param(
            Route(dst=NET, priority=5, scope=253), None, "02 10 00 00 fe 03 fd 01", {1, 4, 6}, id="metric-scope"
        ),
        pytest.param(Route(dst=NET, mtu=1400, advmss=1300), None, "02 10 00 00 fe 03 00 01", {1, 4, 8}, id="metrics"),
    ],
)
def test_a_route_is_added(route: Route, gateway: str | None, header: str, attributes: set[int]) -> None:
    """To its table, as the reference adds it: beside others of the same destination."""
    kernel = Kernel()
    routes.add(handle(kernel), 5, route, ip_address(gateway) if gateway else None)
    (message,) = kernel.sent
    assert (message.kind, message.flags) == (24, 0x405)
    assert message.body[:8].hex(" ") == header
    assert set(wire.attributes(message.body, 12)) == attributes


def _route(*parts: bytes, kind: int = 1, flags: int = 0) -> tuple[int, int, bytes]:
    return 24, 2, struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 3, 0, kind, flags) + b"".join(parts)


TO_NET = wire.attribute(1, NET.network_address.packed)
ONE = wire.attribute(4, 5) + wire.attribute(5, b"\x0a\1\0\1")


HOPS = struct.pack("=HBBi", 16, 0, 0, 5) + wire.attribute(5, b"\x0a\1\0\1") + struct.pack("=HBBi", 8, 0, 0, 6)


@pytest.mark.parametrize(
    ("dumped", "expected"),
    [
        pytest.param(_route(TO_NET, ONE), [(254, ((5, ip_address("10.1.0.1")),))], id="one-hop"),
        pytest.param(_route(TO_NET, wire.attribute(15, 1000)), [(1000, ((0, None),))], id="large-table"),
        pytest.param(
            _route(TO_NET, wire.attribute(9, HOPS)), [(254, ((5, ip_address("10.1.0.1")), (6, None)))], id="two-hops"
        ),
        pytest.param(_route(TO_NET, ONE, kind=7), [], id="not-unicast"),
        pytest.param(_route(TO_NET, ONE, flags=0x200), [], id="a-cache-entry"),
    ],
)
def test_routes_are_read(dumped: tuple[int, int, bytes], expected: list[tuple[int, object]]) -> None:
    """Destination, table and every hop."""
    found = routes.every(handle(Kernel([dumped, (DONE, 2, bytes(4))])), 4)
    assert [(route.table, route.hops) for route in found] == expected
    assert all(route.dst == NET for route in found)


def test_the_real_kernels_routes_can_be_read() -> None:
    """Of both families, whatever they are."""
    with Netlink(own_socket()) as netlink:
        assert all(isinstance(route, Standing) for family in (4, 6) for route in routes.every(netlink, family))
