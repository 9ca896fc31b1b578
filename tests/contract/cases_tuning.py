# SPDX-License-Identifier: Apache-2.0
"""The configurations of tuning that the twins are given: one row each."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.contract.chained import MAC, Link

OTHER: Final = [f"02:00:5e:00:00:0{number}" for number in range(5)]
MARTIANS: Final = "net.ipv4.conf.IFNAME.log_martians"


def net(**more: Any) -> dict[str, Any]:
    """A tuning, of the newest version unless another is given; None takes a key away."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "tuning", "dataDir": "@DATA@"} | more
    return {key: value for key, value in config.items() if value is not None}


def cni(**asked: Any) -> dict[str, Any]:
    """What a pod asks for."""
    return {"cni": asked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that works in both."""

    config: dict[str, Any]
    args: str = ""
    link: Link = field(default_factory=Link)
    ifname: str = "eth0"
    settings: tuple[str, ...] = ("ipv4/conf/{}/log_martians",)
    """Compared after ADD and after DEL."""
    check: bool = True
    """Whether the version has CHECK."""


ALL: Final[dict[str, Any]] = {"mac": OTHER[0], "mtu": 1400, "promisc": True, "allmulti": True, "txQLen": 7}

CASES: Final = {
    "nothing": Case(config=net()),
    "sysctl-of-the-interface": Case(config=net(sysctl={MARTIANS: "1"})),
    "sysctl-with-slashes": Case(config=net(sysctl={"net/ipv4/conf/IFNAME/log_martians": "1"})),
    "sysctl-with-both": Case(config=net(sysctl={"net/ipv4.conf/IFNAME.log_martians": "1"})),
    "sysctl-names-the-interface": Case(config=net(sysctl={"net.ipv4.conf.eth0.log_martians": "1"})),
    "sysctl-of-the-pod": Case(
        config=net(sysctl={"net.ipv4.ip_forward": "0", "net.core.somaxconn": "99"}),
        settings=("ipv4/ip_forward", "core/somaxconn"),
    ),
    "sysctl-of-ipv6": Case(
        config=net(sysctl={"net.ipv6.conf.IFNAME.accept_ra": "0", "net.ipv6.conf.all.forwarding": "1"}),
        settings=("ipv6/conf/{}/accept_ra", "ipv6/conf/all/forwarding"),
    ),
    "sysctl-of-several-words": Case(
        config=net(sysctl={"net.ipv4.ip_local_port_range": "20000\t30000"}), settings=("ipv4/ip_local_port_range",)
    ),
    "sysctl-has-the-value": Case(config=net(sysctl={MARTIANS: "0"})),
    "sysctl-null-map": Case(config=net() | {"sysctl": None}),
    "sysctl-of-a-name-with-dots": Case(config=net(sysctl={MARTIANS: "1"}), ifname="net.17"),
    "sysctl-the-pod-asks-for": Case(config=net(sysctl={MARTIANS: "0"}, args=cni(sysctl={MARTIANS: "1"}))),
    "mac": Case(config=net(mac=OTHER[0])),
    "mac-of-cni-args": Case(config=net(mac=OTHER[0]), args=f"IgnoreUnknown=1;K8S_POD_NAME=p;MAC={OTHER[1]}"),
    "mac-of-the-runtime": Case(
        config=net(mac=OTHER[0], runtimeConfig={"mac": OTHER[2]}), args=f"MAC={OTHER[1]}"
    ),
    "mac-of-args": Case(
        config=net(mac=OTHER[0], runtimeConfig={"mac": OTHER[2]}, args=cni(mac=OTHER[3])), args=f"MAC={OTHER[1]}"
    ),
    "mac-taken-back": Case(config=net(mac=OTHER[0], args=cni(mac=""))),
    "mac-it-has": Case(config=net(mac=MAC)),
    "mtu": Case(config=net(mtu=1400)),
    "mtu-zero": Case(config=net(mtu=0)),
    "mtu-of-args": Case(config=net(mtu=1400, args=cni(mtu=1300))),
    "mtu-of-args-alone": Case(config=net(args=cni(mtu=1300))),
    "mtu-below-ipv6": Case(config=net(mtu=1000), link=Link(addresses=("10.1.0.2/24",), gateways=("10.1.0.1",))),
    "promiscuous": Case(config=net(promisc=True)),
    "promiscuous-false": Case(config=net(promisc=False)),
    "promiscuous-already": Case(config=net(promisc=True), link=Link(before=("link set eth0 promisc on",))),
    "promiscuous-taken-back": Case(config=net(promisc=True, args=cni(promisc=False))),
    "all-multicast": Case(config=net(allmulti=True)),
    "all-multicast-off": Case(config=net(allmulti=False), link=Link(before=("link set eth0 allmulticast on",))),
    "all-multicast-of-args": Case(config=net(allmulti=True, args=cni(allmulti=False))),
    "queue": Case(config=net(txQLen=7)),
    "queue-of-none": Case(config=net(txQLen=0)),
    "queue-of-args": Case(config=net(args=cni(txQLen=9))),
    "everything": Case(config=net(**ALL, sysctl={MARTIANS: "1"})),
    "everything-on-a-name-with-dots": Case(config=net(**ALL, sysctl={MARTIANS: "1"}), ifname="net.17"),
    "link-is-down": Case(config=net(**ALL), link=Link(before=("link set eth0 down",))),
    "keys-in-any-case": Case(config=net() | {"MTU": 1400, "SysCtl": {MARTIANS: "1"}, "TXQLEN": 3}),
    "args-of-others": Case(config=net(mtu=1400, args=cni(labels=[{"key": "a"}], ips=["10.1.0.2"]))),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0", **ALL)),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0", **ALL)),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1", **ALL), check=False),
    "version-0.3.0": Case(config=net(cniVersion="0.3.0", **ALL), check=False),
    "version-0.2.0": Case(config=net(cniVersion="0.2.0", **ALL), check=False),
}  # fmt: skip


class Twice(str):
    """A key that can stand in a dictionary twice, to stand in JSON twice."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A configuration that both refuse; `code` is ours."""

    config: dict[str, Any]
    code: int
    says: str
    args: str = ""
    prev: bool = True


BAD: Final = {
    "no-result-before": Bad(config=net(mtu=1400), code=7, says="prevResult", prev=False),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
    "network-name-missing": Bad(config=net(name=None), code=7, says="network name"),
    "sysctl-elsewhere": Bad(config=net(sysctl={"kernel.hostname": "x"}), code=7, says="kernel.hostname"),
    "sysctl-of-nothing": Bad(config=net(sysctl={"net": "1"}), code=7, says="'net'"),
    "sysctl-upwards": Bad(config=net(sysctl={"net/../kernel/hostname": "x"}), code=7, says="kernel/hostname"),
    "sysctl-unknown": Bad(config=net(sysctl={"net.ipv4.wheels": "4"}), code=7, says="net.ipv4.wheels"),
    "sysctl-a-folder": Bad(config=net(sysctl={"net.ipv4.conf": "4"}), code=7, says="ipv4/conf"),
    "sysctl-a-number": Bad(config=net(sysctl={"net.ipv4.ip_forward": 1}), code=6, says="net.ipv4.ip_forward"),
    "sysctl-value": Bad(config=net(sysctl={"net.ipv4.ip_forward": "yes"}), code=7, says="net.ipv4.ip_forward"),
    "sysctl-read-only": Bad(
        config=net(sysctl={"net.ipv4.tcp_available_congestion_control": "reno"}), code=5, says="tcp_available"
    ),
    "sysctl-of-an-interface-with-dots": Bad(
        config=net(sysctl={"net/ipv4/conf/net.17/log_martians": "1"}), code=7, says="IFNAME"
    ),
    "sysctl-twice": Bad(config=net(sysctl={Twice("net.ipv4.ip_forward"): "1", Twice("net.ipv4.ip_forward"): "1"}),
                        code=7, says="net.ipv4.ip_forward"),
    "mac-no-mac": Bad(config=net(mac="nonsense"), code=7, says="nonsense"),
    "mac-multicast": Bad(config=net(mac="01:00:5e:00:00:01"), code=7, says="01:00:5e:00:00:01"),
    "mac-zero": Bad(config=net(runtimeConfig={"mac": "00:00:00:00:00:00"}), code=7, says="00:00:00:00:00:00"),
    "mac-of-args": Bad(config=net(args=cni(mac="x")), code=7, says="args.cni.mac"),
    "mac-of-cni-args": Bad(config=net(), args="MAC=x", code=4, says="MAC"),
    "cni-args-broken": Bad(config=net(), args="MAC", code=4, says="CNI_ARGS"),
    "cni-args-unknown": Bad(config=net(), args="IP=10.1.0.7", code=4, says="IP"),
    "mtu-too-small": Bad(config=net(mtu=10), code=7, says="mtu"),
    "mtu-too-large": Bad(config=net(mtu=70000), code=7, says="mtu"),
    "mtu-negative": Bad(config=net(mtu=-1), code=7, says="mtu"),
    "mtu-a-text": Bad(config=net(mtu="1400"), code=6, says="mtu"),
    "promisc-a-number": Bad(config=net(promisc=1), code=6, says="promisc"),
    "queue-a-text": Bad(config=net(txQLen="7"), code=6, says="txQLen"),
    "args-no-object": Bad(config=net(args=[]), code=6, says="args"),
    "folder-is-a-file": Bad(config=net(mtu=1400, dataDir="/proc/version"), code=5, says="/proc/version"),
}  # fmt: skip
