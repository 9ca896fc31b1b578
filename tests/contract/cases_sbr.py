# SPDX-License-Identifier: Apache-2.0
"""The configurations of sbr that the twins are given: one row each."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.contract.chained import Link

V4: Final = Link(addresses=("10.1.0.2/24",), gateways=("10.1.0.1",))
BARE: Final = Link(gateways=("", ""))
PAIR: Final = Link(addresses=("10.1.0.2/24", "10.2.0.2/24"), gateways=("10.1.0.1", "10.2.0.1"))


def net(**more: Any) -> dict[str, Any]:
    """A configuration, of the newest version unless another is given; None takes a key away."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "sbr"} | more
    return {key: value for key, value in config.items() if value is not None}


def v4(*before: str) -> Link:
    """One address, and what else there is."""
    return Link(addresses=V4.addresses, gateways=V4.gateways, before=before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that works in both."""

    config: dict[str, Any]
    link: Link = field(default_factory=Link)
    ifname: str = "eth0"
    prev: dict[str, Any] = field(default_factory=dict)
    """Replaces parts of the result before."""
    check: bool = True
    """Whether the version has CHECK."""


OTHER_LINK: Final = (
    "link add net9 type veth peer far9", "link set net9 up", "link set far9 up", "address add 10.9.0.2/24 dev net9",
    "route add default via 10.9.0.1",
)  # fmt: skip

CASES: Final = {
    "one-address": Case(config=net(), link=V4),
    "dual-stack": Case(config=net()),
    "ipv6-alone": Case(config=net(), link=Link(addresses=("fd01::2/64",), gateways=("fd01::1",))),
    "no-gateways": Case(config=net(), link=BARE),
    "no-gateway-of-ipv6": Case(config=net(), link=Link(gateways=("10.1.0.1", ""))),
    "a-single-host": Case(config=net(), link=Link(addresses=("10.1.0.2/32",), gateways=("",))),
    "default-route": Case(config=net(), link=v4("route add default via 10.1.0.1")),
    "default-route-over-another-gateway": Case(config=net(), link=v4("route add default via 10.1.0.9")),
    "default-route-of-ipv6": Case(config=net(), link=Link(before=("route add default via fd01::1",))),
    "default-route-with-metric": Case(config=net(), link=v4("route add default via 10.1.0.1 metric 50")),
    "default-route-with-mtu": Case(config=net(), link=v4("route add default via 10.1.0.1 mtu 1400 advmss 1300")),
    "default-route-on-the-link": Case(
        config=net(), link=Link(addresses=V4.addresses, gateways=("",), before=("route add default dev eth0",))
    ),
    "routes": Case(
        config=net(),
        link=v4(
            "route add 10.200.0.0/16 via 10.1.0.1", "route add 10.201.0.0/16 dev eth0",
            "route add 10.202.0.0/16 dev eth0 src 10.1.0.2", "route add 10.203.0.0/16 via 10.1.0.7 proto static",
        ),
    ),
    "routes-of-ipv6": Case(
        config=net(),
        link=Link(before=("route add fd77::/64 via fd01::7", "route add fd78::/64 dev eth0 metric 77")),
    ),
    "route-over-a-route": Case(
        config=net(),
        link=v4("route add 10.5.0.1/32 dev eth0 src 10.1.0.2", "route add 10.6.0.0/16 via 10.1.0.1"),
    ),
    "route-in-another-table": Case(config=net(), link=v4("route add 10.200.0.0/16 via 10.1.0.1 table 77")),
    "route-of-many-hops-stays": Case(
        config=net(), link=v4("route add 10.200.0.0/16 nexthop via 10.1.0.7 nexthop via 10.1.0.8")
    ),
    "two-subnets": Case(config=net(), link=PAIR),
    "two-subnets-and-routes": Case(
        config=net(),
        link=Link(
            addresses=PAIR.addresses, gateways=PAIR.gateways,
            before=("route add default via 10.1.0.1", "route add 10.200.0.0/16 via 10.2.0.1"),
        ),
    ),
    "two-of-one-subnet": Case(
        config=net(), link=Link(addresses=("10.1.0.2/24", "10.1.0.3/24"), gateways=("10.1.0.1", "10.1.0.1"))
    ),
    "two-of-each-family": Case(
        config=net(),
        link=Link(
            addresses=("10.1.0.2/24", "fd01::2/64", "10.2.0.2/24", "fd02::2/64"),
            gateways=("10.1.0.1", "fd01::1", "10.2.0.1", "fd02::1"),
        ),
    ),
    "another-interface-stays": Case(config=net(), link=v4(*OTHER_LINK)),
    "addresses-of-another-interface": Case(
        config=net(), link=v4(*OTHER_LINK),
        prev={
            "interfaces": [{"name": "net9", "sandbox": "/x"}, {"name": "eth0", "sandbox": "/x"}],
            "ips": [{"address": "10.9.0.2/24", "interface": 0}, {"address": "10.1.0.2/24", "interface": 1}],
        },
    ),
    "addresses-of-nobody": Case(
        config=net(), link=V4, prev={"ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}]}
    ),
    "a-rule-has-table-100": Case(config=net(), link=v4("rule add from 10.77.0.1 lookup 100")),
    "a-rule-of-ipv6-has-table-100": Case(config=net(), link=v4("-6 rule add from fd77::1 lookup 100")),
    "rules-have-tables-between": Case(
        config=net(), link=Link(before=("rule add from 10.77.0.1 lookup 101", "rule add to 10.77.0.1 lookup 102"))
    ),
    "own-rules-with-preference": Case(config=net(), link=v4("rule add from 10.77.0.1 lookup 7 pref 1000")),
    "name-with-dots": Case(config=net(), ifname="net.17"),
    "interface-is-down": Case(
        config=net(), link=Link(addresses=V4.addresses, gateways=("",), before=("link set eth0 down",))
    ),
    "table": Case(config=net(table=100)),
    "table-of-many-digits": Case(config=net(table=123456)),
    "table-with-routes": Case(config=net(table=100), link=v4("route add default via 10.1.0.1 table 100")),
    "table-of-two-subnets": Case(config=net(table=200), link=PAIR),
    "table-main": Case(config=net(table=254), link=V4),
    "table-null": Case(config=net() | {"table": None}),
    "keys-in-any-case": Case(config=net() | {"TABLE": 300}),
    "args-of-others": Case(config=net(args={"cni": {"ips": ["10.1.0.2"]}}), link=V4),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0")),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0")),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1"), check=False),
    "version-0.3.0": Case(config=net(cniVersion="0.3.0"), check=False),
    "version-0.2.0": Case(config=net(cniVersion="0.2.0"), check=False),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A configuration that both refuse; `code` is ours."""

    config: dict[str, Any]
    code: int
    says: str
    link: Link = field(default_factory=Link)
    prev: dict[str, Any] | None = field(default_factory=dict)


BAD: Final = {
    "no-result-before": Bad(config=net(), code=7, says="prevResult", prev=None),
    "no-addresses": Bad(config=net(), code=7, says="address", prev={"ips": []}),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
    "network-name-bad": Bad(config=net(name="../x"), code=7, says="network name"),
    "table-a-text": Bad(config=net(table="100"), code=6, says="table"),
    "table-half": Bad(config=net(table=1.5), code=6, says="table"),
    "table-zero-for-ipv6": Bad(config=net(table=0), code=7, says="table"),
    "gateway-out-of-reach": Bad(
        config=net(), code=5, says="table 100", link=Link(addresses=("10.1.0.2/24",), gateways=("10.7.0.1",))
    ),
    "gateway-of-the-other-address": Bad(
        config=net(), code=5, says="table 101",
        link=Link(addresses=("10.1.0.2/24", "10.2.0.2/24"), gateways=("10.1.0.1", "10.7.0.1")),
    ),
}  # fmt: skip
