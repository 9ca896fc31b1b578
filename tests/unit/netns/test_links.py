# SPDX-License-Identifier: Apache-2.0
"""Default routes as values and as words; changing them needs namespaces: tests/kernel/test_netns_routes.py."""

import errno
import os
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from metacni.cni.errors import CniError
from metacni.cni.names import IfName
from metacni.netns import links
from metacni.netns.links import DefaultRoute, Gateway, Hop

ETH0, NET1 = IfName("eth0"), IfName("net1")
NAMES = {2: "eth0", 3: "net1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A route plan, written out."""

    remove: tuple[tuple[IfName, int], ...] = ()
    add: tuple[tuple[IfName, Gateway], ...] = field(default=())


def _message(**fields: Any) -> dict[str, Any]:
    usual = {"family": socket.AF_INET, "dst_len": 0, "type": 1, "table": 254, "flags": 0, "oif": 2}
    return usual | fields


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(_message(), True, id="destination-left-out"),
        pytest.param(_message(dst="0.0.0.0"), True, id="destination-spelled-out"),  # noqa: S104 - an address, no socket
        pytest.param(_message(family=socket.AF_INET6, dst="::"), True, id="destination-spelled-out-ipv6"),
        pytest.param(_message(dst="10.0.0.0", dst_len=8), False, id="a-network"),
        pytest.param(_message(dst="0.0.0.0", dst_len=1), False, id="half-of-the-world"),  # noqa: S104 - likewise
        pytest.param(_message(table=100), False, id="another-table-as-sbr-uses"),
        pytest.param(_message(type=7), False, id="unreachable"),
        pytest.param(_message(flags=0x200), False, id="cache-entry"),
    ],
)
def test_what_is_a_default_route(message: dict[str, Any], *, expected: bool) -> None:
    """Both forms of the destination are one (C52); other tables and kinds are not ours to touch."""
    assert links.is_default(message) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            _message(gateway="10.1.0.1"),
            DefaultRoute(family=4, metric=0, hops=(Hop(ifname=ETH0, gateway=ip_address("10.1.0.1")),)),
            id="gateway",
        ),
        pytest.param(
            _message(priority=50),
            DefaultRoute(family=4, metric=50, hops=(Hop(ifname=ETH0, gateway=None),)),
            id="no-gateway",
        ),
        pytest.param(
            _message(family=socket.AF_INET6, gateway="fe80::1", priority=1024, oif=3),
            DefaultRoute(family=6, metric=1024, hops=(Hop(ifname=NET1, gateway=ip_address("fe80::1")),)),
            id="ipv6",
        ),
        pytest.param(
            _message(via={"family": socket.AF_INET6, "addr": "fe80::1"}),
            DefaultRoute(family=4, metric=0, hops=(Hop(ifname=ETH0, gateway=ip_address("fe80::1")),)),
            id="ipv4-via-ipv6",
        ),
        pytest.param(
            _message(oif=None, multipath=[{"oif": 2, "gateway": "10.1.0.1"}, {"oif": 3, "gateway": "10.2.0.1"}]),
            DefaultRoute(
                family=4,
                metric=0,
                hops=(
                    Hop(ifname=ETH0, gateway=ip_address("10.1.0.1")),
                    Hop(ifname=NET1, gateway=ip_address("10.2.0.1")),
                ),
            ),
            id="balanced",
        ),
        pytest.param(
            _message(oif=9),
            DefaultRoute(family=4, metric=0, hops=(Hop(ifname=IfName("#9"), gateway=None),)),
            id="unknown-link",
        ),
    ],
)
def test_a_message_becomes_a_value(message: dict[str, Any], expected: DefaultRoute) -> None:
    """With the interface's name in place of its number."""
    assert links.default_route(message, NAMES) == expected


def test_only_a_lost_ipv6_default_route_concerns_router_advertisements() -> None:
    """Interfaces that keep theirs, and IPv4, need no sysctl (C52)."""
    changes = Changes(remove=((ETH0, 4), (ETH0, 6), (NET1, 4)), add=((NET1, ip_address("fd00::1")),))
    assert links.sysctls_for(changes) == ("ipv6/conf/eth0/accept_ra_defrtr",)


GW1, GW2 = ip_address("10.1.0.1"), ip_address("10.2.0.1")


def _route(ifname: IfName, gateway: Gateway | None) -> DefaultRoute:
    return DefaultRoute(family=4, metric=0, hops=(Hop(ifname=ifname, gateway=gateway),))


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        pytest.param(Changes(remove=((ETH0, 4),)), (), id="removed"),
        pytest.param(Changes(remove=((ETH0, 4),)), (_route(NET1, GW2),), id="another-interface-keeps-its"),
        pytest.param(Changes(remove=((ETH0, 4),), add=((NET1, GW2),)), (_route(NET1, GW2),), id="moved"),
        pytest.param(Changes(remove=((ETH0, 4),), add=((ETH0, GW2),)), (_route(ETH0, GW2),), id="another-gateway"),
        pytest.param(Changes(remove=((ETH0, 6),)), (_route(ETH0, GW1),), id="another-family"),
    ],
)
def test_what_reading_back_accepts(changes: Changes, standing: tuple[DefaultRoute, ...]) -> None:
    """Every wanted route stands, and none that had to go."""
    links._verify(4, changes, standing)


@pytest.mark.parametrize(
    ("changes", "standing", "message"),
    [
        pytest.param(
            Changes(remove=((ETH0, 4),)),
            (_route(ETH0, GW1),),
            "cannot remove the IPv4 default route via '10.1.0.1' on interface 'eth0': it is still there, or again",
            id="came-back",
        ),
        pytest.param(
            Changes(add=((NET1, GW2),)),
            (_route(ETH0, None),),
            "cannot add the default route via '10.2.0.1' on interface 'net1': IPv4 has instead: on interface 'eth0'",
            id="another-stands-in-the-way",
        ),
        pytest.param(
            Changes(add=((NET1, GW2),)),
            (),
            "cannot add the default route via '10.2.0.1' on interface 'net1': IPv4 has instead: none",
            id="vanished",
        ),
    ],
)
def test_what_reading_back_refuses(changes: Changes, standing: tuple[DefaultRoute, ...], message: str) -> None:
    """The kernel's word counts, not that no call failed."""
    with pytest.raises(CniError) as caught:
        links._verify(4, changes, standing)
    assert (caught.value.code, caught.value.msg) == (5, message)


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        pytest.param(errno.EPERM, 5, "operation not permitted", id="eperm"),
        pytest.param(errno.ENODEV, 5, "no such device", id="enodev"),
        pytest.param(errno.ENETDOWN, 5, "network is down", id="link-is-down"),
        pytest.param(errno.ENETUNREACH, 7, "the gateway cannot be reached on that interface", id="ipv4-not-on-link"),
        pytest.param(errno.EHOSTUNREACH, 7, "the gateway cannot be reached on that interface", id="ipv6-not-on-link"),
    ],
)
def test_the_kernels_refusal_becomes_one_line(error: int, code: int, cause: str) -> None:
    """What was tried, then why not; a gateway that is not on the link is the configuration's fault."""
    with pytest.raises(CniError) as caught, links._failing("cannot add it"):
        raise OSError(error, os.strerror(error))
    assert (caught.value.code, caught.value.msg) == (code, f"cannot add it: {cause}")


def test_a_restless_table_asks_to_try_again() -> None:
    """Code 11: the runtime comes back later."""
    with pytest.raises(CniError) as caught, links._failing("cannot list the links of the pod"):
        raise InterruptedError("the kernel's tables changed during each of 10 looks")
    assert (caught.value.code, caught.value.msg) == (
        11,
        "cannot list the links of the pod: the kernel's tables changed during each of 10 looks",
    )
