# SPDX-License-Identifier: Apache-2.0
"""The route verbs as bytes for a kernel in memory."""

import struct
from ipaddress import ip_address, ip_network

import pytest

from metacni.cni.result import Route
from metacni.netns import routes, wire
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.routes import Standing
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

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


def _over(*parts: bytes, table: int = 254, flags: int = 0) -> tuple[int, int, bytes]:
    header = struct.pack("=BBBBBBBBI", 2, 16, 0, 0, table, 2, 253, 1, flags)
    return 24, 2, header + wire.attribute(1, NET.network_address.packed) + b"".join(parts)


LINK = wire.attribute(4, 5)
END = (DONE, 2, bytes(4))


@pytest.mark.parametrize(
    ("dumped", "count"),
    [
        pytest.param(_over(LINK, wire.attribute(15, 254)), 1, id="of-the-link"),
        pytest.param(_over(wire.attribute(4, 6)), 0, id="of-another-link"),
        pytest.param(_over(LINK, wire.attribute(15, 100)), 0, id="of-another-table"),
        pytest.param(_over(LINK, flags=0x200), 0, id="a-cache-entry"),
        pytest.param(_over(wire.attribute(9, HOPS)), 0, id="of-many-hops"),
    ],
)
def test_the_routes_over_a_link_are_found(dumped: tuple[int, int, bytes], count: int) -> None:
    """Those of one table, over this link alone."""
    assert len(routes.over(handle(Kernel([dumped, END], [END])), 5)) == count


def test_a_route_moves_as_it_is() -> None:
    """Into another table, with all that makes it; what only tells of its state stays behind."""
    told = _over(LINK, wire.attribute(7, b"\x0a\1\0\2"), wire.attribute(12, bytes(32)), flags=0x4 | 0x10)
    (route,) = routes.over(handle(Kernel([told, END], [END])), 5)
    assert (route.family, route.source, route.scope, route.protocol) == (4, ip_address("10.1.0.2"), 253, 2)
    assert (route.gateway, route.dst, route.local) == (None, NET, False)
    kernel = Kernel()
    routes.put(handle(kernel), route, 100)
    routes.put(handle(kernel), route, 1000)
    routes.remove(handle(kernel), route)
    assert [(message.kind, message.flags) for message in kernel.sent] == [(24, 0x505), (24, 0x505), (25, 0x5)]
    assert [message.body[:12].hex(" ") for message in kernel.sent] == [
        "02 10 00 00 64 02 fd 01 04 00 00 00",
        "02 10 00 00 00 02 fd 01 04 00 00 00",
        "02 10 00 00 fe 02 fd 01 04 00 00 00",
    ]
    assert all(set(wire.attributes(message.body, 12)) == {1, 4, 7, 15} for message in kernel.sent)


def test_what_is_on_the_link_comes_before_what_is_behind_it() -> None:
    """So they can be put somewhere in that order, and removed in the other; what leads to the pod itself is known."""
    own = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 2, 254, 2, 0) + wire.attribute(1, b"\x0a\1\0\2") + LINK
    dumped = [_over(LINK, wire.attribute(5, b"\x0a\1\0\1")), _over(LINK), (24, 2, own), END]
    found = routes.over(handle(Kernel(dumped, [END])), 5)
    assert [(route.gateway is None, route.local) for route in found] == [(True, False), (True, True), (False, False)]


def test_a_route_that_is_gone_is_removed() -> None:
    """Any other refusal raises."""
    route = routes.default(5, ip_address("10.1.0.1"))
    routes.remove(handle(Kernel([ack(3)])), route)
    with pytest.raises(PermissionError):
        routes.remove(handle(Kernel([ack(1)])), route)


def test_routes_of_ours_are_written_down() -> None:
    """One to everywhere over a gateway, one to a subnet from an address."""
    over = routes.default(5, ip_address("fd01::1"))
    assert (over.dst, over.gateway, over.header[:8].hex(" ")) == (
        ip_network("::/0"), ip_address("fd01::1"), "0a 00 00 00 00 03 00 01"
    )  # fmt: skip
    hint = routes.hinted(5, NET, ip_address("10.2.0.7"))
    assert (hint.dst, hint.source, hint.header[:8].hex(" ")) == (
        NET, ip_address("10.2.0.7"), "02 10 00 00 00 03 fd 01"
    )  # fmt: skip


def test_tables_in_use_are_found() -> None:
    """Whatever kind of route is in them."""
    dumped = [_route(TO_NET, wire.attribute(15, 1000), kind=7), _over(LINK, table=77), END]
    assert routes.tables(handle(Kernel(dumped, [END]))) == {1000, 77}
