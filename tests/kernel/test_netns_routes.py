# SPDX-License-Identifier: Apache-2.0
"""Default routes of real pods: exactly the planned ones change, and the kernel's own listing says so."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
from pyroute2.netlink.rtnl import RTM_GETLINK, ifinfmsg

from metacni.cni.errors import CniError
from metacni.cni.names import IfName
from metacni.netns.links import Gateway, PodLinks, change_default_routes
from metacni.netns.opener import Opener
from metacni.netns.rtnetlink import Message
from tests.kernel.conftest import Ip, Namespace

link_message: Any = ifinfmsg.ifinfmsg
ETH0, NET1 = IfName("eth0"), IfName("net1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A route plan, written out."""

    remove: tuple[tuple[IfName, int], ...] = ()
    add: tuple[tuple[IfName, Gateway], ...] = ()


def to(ifname: str, gateway: str) -> tuple[IfName, Gateway]:
    """One route to add."""
    return IfName(ifname), ip_address(gateway)


@pytest.fixture
def one(host: Namespace, pod: Callable[[], Namespace]) -> Namespace:
    """A pod with two interfaces, both families, and no default route."""
    made = pod()
    made.cable("eth0", host, "veth0", "10.1.0.2/24", "fd00:1::2/64")
    made.cable("net1", host, "veth1", "10.2.0.2/24", "fd00:2::2/64")
    return made


@pytest.fixture
def opener() -> Iterator[Opener]:
    """A started opener."""
    made = Opener()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def change(opener: Opener, one: Namespace) -> Iterator[Callable[[Changes], None]]:
    """Carry out a route plan in the pod."""
    fd = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
    yield lambda changes: change_default_routes(opener, fd, changes)
    os.close(fd)


def defaults(ip: Ip, pod: Namespace) -> set[str]:
    """The default routes of the main table, in few words."""
    found = [*ip(pod, "-4", "route", "show", "default"), *ip(pod, "-6", "route", "show", "default")]
    return {
        " ".join(
            str(part)
            for hop in route.get("nexthops", [route])
            for part in (hop.get("gateway") or hop.get("via", {}).get("host", "-"), hop["dev"])
        )
        for route in found
    }


def add(pod: Namespace, *routes: str) -> None:
    """Add routes as a plugin would have."""
    for route in routes:
        family = "-6" if ":" in route and "inet6" not in route else "-4"
        pod.run("ip", family, "route", "add", *route.split())


BOTH = ("default via 10.1.0.1", "default via fd00:1::1")


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        pytest.param(BOTH, Changes(), {"10.1.0.1 eth0", "fd00:1::1 eth0"}, id="nothing-to-do"),
        pytest.param(BOTH, Changes(remove=((ETH0, 4),)), {"fd00:1::1 eth0"}, id="remove-ipv4-keep-ipv6"),
        pytest.param(BOTH, Changes(remove=((ETH0, 6),)), {"10.1.0.1 eth0"}, id="remove-ipv6-keep-ipv4"),
        pytest.param(
            BOTH,
            Changes(remove=((ETH0, 4), (ETH0, 6)), add=(to("net1", "10.2.0.1"), to("net1", "fd00:2::1"))),
            {"10.2.0.1 net1", "fd00:2::1 net1"},
            id="move-both",
        ),
        pytest.param(
            BOTH,
            Changes(remove=((ETH0, 4),), add=(to("net1", "10.2.0.1"),)),
            {"10.2.0.1 net1", "fd00:1::1 eth0"},
            id="move-ipv4-only",
        ),
        pytest.param(
            BOTH,
            Changes(remove=((ETH0, 4),), add=(to("eth0", "10.1.0.9"),)),
            {"10.1.0.9 eth0", "fd00:1::1 eth0"},
            id="another-gateway-on-the-same-interface",
        ),
        pytest.param(
            ("default via 10.1.0.1", "default via 10.1.0.7 metric 50", "default dev eth0 metric 70 scope link"),
            Changes(remove=((ETH0, 4),)),
            set(),
            id="several-metrics-and-one-without-gateway",
        ),
        pytest.param(
            ("default via 10.1.0.1", "default via 10.2.0.1 metric 50"),
            Changes(remove=((ETH0, 4),)),
            {"10.2.0.1 net1"},
            id="another-interface-keeps-its",
        ),
        pytest.param(
            ("default src 10.1.0.2 tos 0x10 via 10.1.0.1 mtu 1400 proto bird",),
            Changes(remove=((ETH0, 4),)),
            set(),
            id="source-tos-mtu-protocol",
        ),
        pytest.param(
            ("default nexthop via 10.1.0.1 dev eth0 nexthop via 10.1.0.7 dev eth0 weight 3",),
            Changes(remove=((ETH0, 4),)),
            set(),
            id="balanced-ipv4",
        ),
        pytest.param(
            ("default proto bird nexthop via fd00:1::1 dev eth0 nexthop via fd00:2::1 dev net1",),
            Changes(remove=((ETH0, 6), (NET1, 6))),
            set(),
            id="balanced-ipv6-over-two-interfaces-that-lose-theirs",
        ),
        pytest.param(
            ("default nexthop via fd00:1::1 dev eth0 nexthop via fd00:2::1 dev net1",),
            Changes(remove=((ETH0, 6),)),
            {"fd00:2::1 net1"},
            id="balanced-ipv6-over-one-that-stays",
        ),
        pytest.param(
            ("default via inet6 fd00:1::1 dev eth0",),
            Changes(remove=((ETH0, 4),)),
            set(),
            id="ipv4-via-ipv6",
        ),
        pytest.param((), Changes(remove=((ETH0, 4), (ETH0, 6))), set(), id="nothing-there"),
        pytest.param((), Changes(add=(to("net1", "fe80::1"),)), {"fe80::1 net1"}, id="link-local-gateway"),
        pytest.param(
            ("10.9.0.1 dev net1 scope link",),
            Changes(add=(to("net1", "10.9.0.1"),)),
            {"10.9.0.1 net1"},
            id="host-route-to-it",
        ),
        pytest.param(
            BOTH,
            Changes(add=(to("eth0", "10.1.0.1"), to("eth0", "fd00:1::1"))),
            {"10.1.0.1 eth0", "fd00:1::1 eth0"},
            id="there-already",
        ),
    ],
)
def test_exactly_the_planned_routes_change(  # noqa: PLR0917 - a table's columns and fixtures
    before: tuple[str, ...],
    changes: Changes,
    after: set[str],
    one: Namespace,
    change: Callable[[Changes], None],
    ip: Ip,
) -> None:
    """By interface and family (C48), whatever a plugin's default route looks like; carried out twice it is the same."""
    add(one, *before)
    others = [ip(one, family, "route", "show", "proto", "kernel") for family in ("-4", "-6")]
    for _ in range(2):
        change(changes)
        assert defaults(ip, one) == after
    assert [ip(one, family, "route", "show", "proto", "kernel") for family in ("-4", "-6")] == others


def test_a_route_over_a_nexthop_object_is_an_error(one: Namespace, change: Callable[[Changes], None], ip: Ip) -> None:
    """No plugin makes one, and pyroute2 cannot name it: reading back finds it, so the ADD does not pass for done."""
    one.run("ip", "nexthop", "add", "id", "7", "via", "10.1.0.1", "dev", "eth0")
    one.run("ip", "route", "add", "default", "nhid", "7")
    with pytest.raises(CniError, match=r"on interface 'eth0': it is still there, or again$"):
        change(Changes(remove=((ETH0, 4),)))
    assert defaults(ip, one) == {"10.1.0.1 eth0"}


def test_other_tables_are_not_touched(one: Namespace, change: Callable[[Changes], None], ip: Ip) -> None:
    """The sbr plugin keeps an interface's own default route in a table of its own."""
    add(one, "default via 10.1.0.1", "default via 10.1.0.1 table 100", "default via fd00:1::1 table 100")
    change(Changes(remove=((ETH0, 4), (ETH0, 6))))
    assert defaults(ip, one) == set()
    assert [len(ip(one, family, "route", "show", "table", "100")) for family in ("-4", "-6")] == [1, 1]


@pytest.mark.parametrize(
    ("before", "changes", "code", "message"),
    [
        pytest.param(
            BOTH,
            Changes(remove=((ETH0, 4),), add=(to("net1", "10.9.0.1"),)),
            7,
            "cannot add the default route via '10.9.0.1' on interface 'net1': "
            "the gateway cannot be reached on that interface",
            id="ipv4-gateway-not-on-link",
        ),
        pytest.param(
            (),
            Changes(add=(to("net1", "fd09::1"),)),
            7,
            "cannot add the default route via 'fd09::1' on interface 'net1': "
            "the gateway cannot be reached on that interface",
            id="ipv6-gateway-not-on-link",
        ),
        pytest.param(
            (),
            Changes(remove=((IfName("net9"), 6),), add=(to("net9", "10.2.0.1"),)),
            5,
            "cannot add the default route via '10.2.0.1' on interface 'net9': the pod has no such interface",
            id="no-such-interface",
        ),
        pytest.param(
            BOTH,
            Changes(add=(to("net1", "10.2.0.1"),)),
            5,
            "cannot add the default route via '10.2.0.1' on interface 'net1': "
            "IPv4 has instead: via '10.1.0.1' on interface 'eth0'",
            id="another-stands-in-the-way",
        ),
        pytest.param(
            ("default nexthop via 10.1.0.1 dev eth0 nexthop via 10.2.0.1 dev net1",),
            Changes(remove=((ETH0, 4),)),
            5,
            "cannot remove the IPv4 default route via '10.1.0.1' on interface 'eth0' "
            "and via '10.2.0.1' on interface 'net1': "
            "it is balanced over an interface that keeps its default routes",
            id="balanced-over-one-that-stays",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(  # noqa: PLR0917 - likewise
    before: tuple[str, ...],
    changes: Changes,
    code: int,
    message: str,
    one: Namespace,
    change: Callable[[Changes], None],
) -> None:
    """It names interface, gateway and cause; the ADD fails and is undone."""
    add(one, *before)
    with pytest.raises(CniError) as caught:
        change(changes)
    assert (caught.value.code, caught.value.msg) == (code, message)


def test_a_link_that_is_down_is_named(one: Namespace, change: Callable[[Changes], None]) -> None:
    """The kernel's cause, at the end of the line."""
    one.run("ip", "link", "set", "net1", "down")
    with pytest.raises(CniError) as caught:
        change(Changes(add=(to("net1", "10.2.0.1"),)))
    assert caught.value.code in (5, 7)
    assert caught.value.msg.startswith("cannot add the default route via '10.2.0.1' on interface 'net1': ")


def test_a_pod_without_ipv6_needs_none(one: Namespace, change: Callable[[Changes], None], ip: Ip) -> None:
    """The plan may speak of both families where the pod has one."""
    one.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    add(one, "default via 10.1.0.1")
    change(Changes(remove=((ETH0, 4), (ETH0, 6)), add=(to("net1", "10.2.0.1"),)))
    assert defaults(ip, one) == {"10.2.0.1 net1"}


ADVERTISE = """
import socket, struct, sys, time
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
index = socket.if_nametoindex(sys.argv[1])
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, int(sys.argv[2]), int(sys.argv[2]), 0)
prefix += socket.inet_pton(socket.AF_INET6, "fd00:5::")
advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
while True:
    try:
        sock.sendto(advertisement, ("ff02::1", 0, 0, index))
        break
    except OSError:  # the link-local address is not usable yet
        time.sleep(0.1)
"""


def advertise(host: Namespace, ip: Ip, pod: Namespace, lifetime: int) -> None:
    """Be a router on the pod's eth0, until the pod has (renewed) an address from the advertised prefix."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = [
            address
            for link in ip(pod, "-6", "address", "show", "dev", "eth0")
            for address in link["addr_info"]
            if address.get("local", "").startswith("fd00:5:") and address["valid_life_time"] > lifetime - 60
        ]
        if found:
            return
        host.run(sys.executable, "-c", ADVERTISE, "veth0", str(lifetime))
        time.sleep(0.2)
    pytest.fail("the pod took no address from the advertisement")


def test_a_router_advertisement_does_not_bring_it_back(
    host: Namespace, one: Namespace, change: Callable[[Changes], None], ip: Ip
) -> None:
    """Without the sysctl the next advertisement would (C52); the addresses that it renews are renewed all the same."""
    advertise(host, ip, one, 7200)
    assert {route.split()[1] for route in defaults(ip, one)} == {"eth0"}
    change(Changes(remove=((ETH0, 6),), add=(to("net1", "fd00:2::1"),)))
    advertise(host, ip, one, 72000)
    assert defaults(ip, one) == {"fd00:2::1 net1"}
    assert one.run("cat", "/proc/sys/net/ipv6/conf/net1/accept_ra_defrtr") == "1\n"


def test_default_routes_are_read(opener: Opener, one: Namespace) -> None:
    """As values, with metric and gateway, in the order of the kernel."""
    add(one, *BOTH, "default dev net1 metric 9 scope link")
    fd = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
    with PodLinks(opener.open(fd)) as links:
        seen = [(r.family, r.metric, str(r)) for family in (4, 6) for r in links.default_routes(family)]
    os.close(fd)
    assert seen == [
        (4, 0, "via '10.1.0.1' on interface 'eth0'"),
        (4, 9, "on interface 'net1'"),
        (6, 1024, "via 'fd00:1::1' on interface 'eth0'"),
    ]


def test_the_kernels_mark_of_an_interrupted_dump_is_seen(opener: Opener, one: Namespace) -> None:
    """Links that come and go during a long dump make the kernel mark it, and pyroute2 hands the mark through to us."""
    one.run("sh", "-c", "for i in $(seq 60); do echo link add b$i type bridge; done | ip -batch -")
    marks: list[int] = []
    fd = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
    with restless_links(one), PodLinks(opener.open(fd)) as links:
        deadline = time.monotonic() + 20
        while not any(flag & 0x10 for flag in marks) and time.monotonic() < deadline:
            _look(links, marks)
        assert any(flag & 0x10 for flag in marks), "the kernel never marked a dump"
    os.close(fd)


@contextmanager
def restless_links(pod: Namespace) -> Iterator[None]:
    """A bridge comes and goes all the time."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            pod.run("sh", "-c", "for i in $(seq 20); do ip link add x type bridge; ip link del x; done")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _look(links: PodLinks, marks: list[int]) -> None:
    def note(message: Message) -> None:
        marks.append(message["header"]["flags"])

    links._netlink._dump_once(link_message(), RTM_GETLINK, note)
