# SPDX-License-Identifier: Apache-2.0
"""The configurations of vrf that the twins are given: one row each."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.contract.chained import Link


def net(**more: Any) -> dict[str, Any]:
    """A configuration, of the newest version unless another is given; None takes a key away."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "vrf", "vrfname": "blue"} | more
    return {key: value for key, value in config.items() if value is not None}


def dual(*before: str) -> Link:
    """Both families, and what else there is."""
    return Link(before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that works in both."""

    config: dict[str, Any]
    link: Link = field(default_factory=Link)
    ifname: str = "eth0"
    check: bool = True
    """Whether the version has CHECK."""


OTHER_PORT: Final = (
    "link add net9 type veth peer far9", "link set net9 up", "link set far9 up", "address add 10.9.0.2/24 dev net9",
    "link set net9 master blue",
)  # fmt: skip

CASES: Final = {
    "plain": Case(config=net()),
    "ipv4-alone": Case(config=net(), link=Link(addresses=("10.1.0.2/24",), gateways=("10.1.0.1",))),
    "ipv6-alone": Case(config=net(), link=Link(addresses=("fd01::2/64",), gateways=("fd01::1",))),
    "no-address": Case(config=net(), link=Link(addresses=(), gateways=())),
    "several-addresses": Case(
        config=net(),
        link=Link(
            addresses=("10.1.0.2/24", "10.2.0.2/24", "fd01::2/64", "fd01::3/64", "fd02::2/128"),
            gateways=("", "", "", "", ""),
        ),
    ),
    "table": Case(config=net(table=10)),
    "table-of-many-digits": Case(config=net(table=123456)),
    "table-zero-is-none": Case(config=net(table=0)),
    "table-null-is-none": Case(config=net() | {"table": None}),
    "default-routes": Case(config=net(), link=dual("route add default via 10.1.0.1", "route add default via fd01::1")),
    "routes": Case(
        config=net(),
        link=dual(
            "route add 10.200.0.0/16 via 10.1.0.7 metric 5", "route add 10.201.0.0/16 via 10.1.0.1 mtu 1400",
            "route add fd77::/64 via fd01::7", "route add fd78::/64 dev eth0 metric 77",
        ),
    ),
    "routes-in-another-table": Case(config=net(), link=dual("route add 10.200.0.0/16 via 10.1.0.7 table 77")),
    "another-vrf-has-the-first-table": Case(config=net(), link=dual("link add red type vrf table 1")),
    "a-gap-between-tables": Case(
        config=net(), link=dual("link add red type vrf table 1", "link add green type vrf table 3")
    ),
    "vrf-is-there": Case(config=net(), link=dual("link add blue type vrf table 33", "link set blue up")),
    "vrf-is-there-with-the-table": Case(
        config=net(table=33), link=dual("link add blue type vrf table 33", "link set blue up")
    ),
    "vrf-has-another-port": Case(
        config=net(), link=dual("link add blue type vrf table 33", "link set blue up", *OTHER_PORT)
    ),
    "the-same-table-twice": Case(config=net(table=33), link=dual("link add red type vrf table 33")),
    "name-with-dots": Case(config=net(vrfname="blue.5"), ifname="net.17"),
    "keys-in-any-case": Case(config=net(vrfname=None) | {"VRFName": "green", "TABLE": 7}),
    "interface-is-down": Case(
        config=net(), link=Link(addresses=("10.1.0.2/24",), gateways=("",), before=("link set eth0 down",))
    ),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0")),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0")),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1"), check=False),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A configuration that both refuse; `code` is ours."""

    config: dict[str, Any]
    code: int
    says: str
    link: Link = field(default_factory=Link)
    prev: bool = True


BAD: Final = {
    "no-result-before": Bad(config=net(), code=7, says="prevResult", prev=False),
    "no-name": Bad(config=net(vrfname=None), code=7, says="vrfname"),
    "name-empty": Bad(config=net(vrfname=""), code=7, says="vrfname"),
    "name-too-long": Bad(config=net(vrfname="vrf-of-sixteen-c"), code=7, says="vrf-of-sixteen-c"),
    "name-with-a-slash": Bad(config=net(vrfname="a/b"), code=7, says="a/b"),
    "name-of-the-interface": Bad(config=net(vrfname="eth0"), code=7, says="eth0"),
    "name-of-no-vrf": Bad(config=net(), code=7, says="blue", link=dual("link add blue type dummy")),
    "table-negative": Bad(config=net(table=-1), code=7, says="table"),
    "table-too-large": Bad(config=net(table=1 << 32), code=7, says="table"),
    "table-a-text": Bad(config=net(table="10"), code=6, says="table"),
    "table-is-another": Bad(config=net(table=34), code=7, says="33", link=dual("link add blue type vrf table 33")),
    "a-port-already": Bad(
        config=net(), code=7, says="'red'", link=dual("link add red type vrf table 9", "link set eth0 master red")
    ),
    "a-port-of-it-already": Bad(
        config=net(), code=7, says="'blue'", link=dual("link add blue type vrf table 9", "link set eth0 master blue")
    ),
    "version-0.3.0": Bad(config=net(cniVersion="0.3.0"), code=1, says="0.3.1"),
    "version-0.2.0": Bad(config=net(cniVersion="0.2.0"), code=1, says="0.3.1"),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
}  # fmt: skip
