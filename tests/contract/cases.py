# SPDX-License-Identifier: Apache-2.0
"""The configurations that the twins are given: one row each, with what stands on the node before."""

from dataclasses import dataclass
from typing import Any, Final

V4: Final = [[{"subnet": "10.1.0.0/24"}]]
V6: Final = [[{"subnet": "fd01::/64"}]]
MACS: Final = ["02:00:5e:00:00:01", "02:00:5e:00:00:02", "02:00:5e:00:00:03"]


def ipam(**more: Any) -> dict[str, Any]:
    """A host-local part; ranges of IPv4 unless others are given."""
    part = {"type": "host-local", "dataDir": "@DATA@", **more}
    return part if {"ranges", "subnet"} & part.keys() else part | {"ranges": V4}


def net(**more: Any) -> dict[str, Any]:
    """A bridge network, of the newest version unless another is given; `ipam=None` is none."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br1", "ipam": ipam()} | more
    return {key: value for key, value in config.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that works."""

    config: dict[str, Any]
    args: str = ""
    before: tuple[str, ...] = ()
    """Commands of `ip` on the node before the ADD."""
    ifname: str = "eth0"
    check: bool = True
    """Whether the version has CHECK, and the reference's can pass: it always fails without IPAM."""


CASES: Final = {
    "plain": Case(config=net()),
    "no-bridge-named": Case(config=net(bridge=None)),
    "layer-2": Case(config=net(ipam=None), check=False),
    "layer-2-empty-ipam": Case(config=net(ipam={}), check=False),
    "layer-2-down": Case(config=net(ipam=None, disableContainerInterface=True), check=False),
    "gateway": Case(config=net(isGateway=True)),
    "default-gateway": Case(config=net(isDefaultGateway=True)),
    "dual-stack-gateway": Case(config=net(isDefaultGateway=True, ipam=ipam(ranges=[*V4, *V6]))),
    "ipv6-alone": Case(config=net(isGateway=True, ipam=ipam(ranges=V6))),
    "duplicates-wanted": Case(config=net(isGateway=True, enabledad=True, ipam=ipam(ranges=[*V4, *V6]))),
    "mtu": Case(config=net(mtu=1400)),
    "hairpin": Case(config=net(hairpinMode=True)),
    "promiscuous": Case(config=net(promiscMode=True)),
    "another-name": Case(config=net(), ifname="net.17"),
    "bridge-is-there-and-down": Case(
        config=net(mtu=1300, isGateway=True), before=("link add br1 mtu 1450 type bridge",)
    ),
    "bridge-has-the-address": Case(
        config=net(isGateway=True), before=("link add br1 type bridge", "address add 10.1.0.1/24 dev br1")
    ),
    "address-forced": Case(
        config=net(isGateway=True, forceAddress=True),
        before=("link add br1 type bridge", "address add 10.9.0.1/24 brd + dev br1"),
    ),
    "ipv6-forced": Case(
        config=net(isGateway=True, forceAddress=True, ipam=ipam(ranges=V6)),
        before=("link add br1 type bridge", "link set br1 up", "address add fd01::9/48 dev br1 nodad"),
    ),
    "ipv6-beside-another": Case(
        config=net(isGateway=True, ipam=ipam(ranges=V6)),
        before=("link add br1 type bridge", "link set br1 up", "address add fd09::1/64 dev br1 nodad"),
    ),
    "other-links-around": Case(config=net(), before=("link add v0 type veth peer v1",)),
    "one-old-range": Case(config=net(ipam=ipam(subnet="10.2.0.0/16", gateway="10.2.9.9"), isGateway=True)),
    "old-range-and-ranges": Case(config=net(ipam=ipam(subnet="10.2.0.0/16", ranges=V4))),
    "start-and-end": Case(
        config=net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.7", "rangeEnd": "10.1.0.9"}]]))
    ),
    "start-is-the-gateway": Case(
        config=net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.7", "gateway": "10.1.0.7"}]]))
    ),
    "two-subnets-one-address": Case(
        config=net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/24"}]]))
    ),
    "two-addresses-of-a-family": Case(config=net(ipam=ipam(ranges=[*V4, [{"subnet": "10.2.0.0/24"}]]))),
    "routes": Case(
        config=net(
            ipam=ipam(
                routes=[{"dst": "10.200.0.0/16"}, {"dst": "10.201.0.0/16", "gw": "10.1.0.77"}, {"dst": "0.0.0.0/0"}]
            )
        )
    ),
    "route-with-metric-and-scope": Case(
        config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16", "priority": 77}, {"dst": "10.1.0.1/32", "scope": 0}]))
    ),
    "route-in-a-table": Case(
        config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16", "table": 100}, {"dst": "10.3.0.0/16", "table": 1000}])),
        check=False,  # the reference looks into the main table only
    ),
    "ipv6-routes": Case(
        config=net(ipam=ipam(ranges=V6, routes=[{"dst": "fd77::/64"}, {"dst": "::/0", "gw": "fd01::77"}]))
    ),
    "default-route-of-the-ipam": Case(
        config=net(isDefaultGateway=True, ipam=ipam(routes=[{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}]))
    ),
    "ips-of-the-runtime": Case(config=net(runtimeConfig={"ips": ["10.1.0.50"]})),
    "ips-of-both-families": Case(
        config=net(ipam=ipam(ranges=[*V4, *V6]), runtimeConfig={"ips": ["fd01::50/120", "10.1.0.50/8"]})
    ),
    "ips-of-args": Case(config=net(args={"cni": {"ips": ["10.1.0.51/24"]}})),
    "ip-of-cni-args": Case(config=net(), args="IgnoreUnknown=1;IP=10.1.0.52;K8S_POD_NAME=p"),
    "mac-of-the-runtime": Case(config=net(runtimeConfig={"mac": MACS[0]})),
    "mac-of-args": Case(config=net(args={"cni": {"mac": MACS[0].upper()}})),
    "mac-of-cni-args": Case(config=net(), args=f"IgnoreUnknown=1;MAC={MACS[0]}"),
    "mac-of-all-three": Case(
        config=net(args={"cni": {"mac": MACS[1]}}, runtimeConfig={"mac": MACS[2]}),
        args=f"IgnoreUnknown=true;MAC={MACS[0]}",
    ),
    "ranges-of-the-runtime": Case(config=net(runtimeConfig={"ipRanges": [[{"subnet": "10.7.0.0/24"}]]})),
    "own-dns": Case(config=net(dns={"nameservers": ["10.1.0.3"], "search": ["a.example"]})),
    "dns-of-a-file": Case(config=net(ipam=ipam(resolvConf="@DATA@.resolv"))),
    "another-ipam": Case(
        config=net(isGateway=True, ipam={"type": "static", "addresses": [{"address": "10.1.0.5/24"}]})
    ),
    "another-ipam-with-routes": Case(
        config=net(ipam={"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}],
                         "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.1.0.2"]}})
    ),
    "keys-in-any-case": Case(
        config=net(bridge=None, ipam=None) | {"Bridge": "br7", "ISGATEWAY": True, "IPAM": ipam()}
    ),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0", isDefaultGateway=True)),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0", isDefaultGateway=True, ipam=ipam(ranges=[*V4, *V6]))),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1", isGateway=True), check=False),
    "version-0.3.0": Case(config=net(cniVersion="0.3.0"), check=False),
    "version-0.2.0": Case(
        config=net(cniVersion="0.2.0", isDefaultGateway=True, ipam=ipam(ranges=[*V4, *V6])), check=False
    ),
    "version-0.1.0": Case(config=net(cniVersion="0.1.0"), check=False),
    "no-version": Case(config=net(cniVersion=None), check=False),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A configuration that both refuse; `code` is ours."""

    config: dict[str, Any]
    code: int
    says: str
    """What our message names."""
    args: str = ""


def ranges(**keys: Any) -> dict[str, Any]:
    """A network with this one range."""
    return net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24"} | keys]]))


BAD: Final = {
    "hairpin-and-promiscuous": Bad(config=net(hairpinMode=True, promiscMode=True), code=7, says="hairpinMode"),
    "ipam-and-no-interface": Bad(config=net(disableContainerInterface=True), code=7, says="disableContainerInterface"),
    "vlan-too-high": Bad(config=net(vlan=4095), code=7, says="vlan"),
    "flag-as-text": Bad(config=net(isGateway="true"), code=6, says="isGateway"),
    "number-as-text": Bad(config=net(mtu="1500"), code=6, says="mtu"),
    "bridge-name-empty": Bad(config=net(bridge=""), code=7, says="bridge"),
    "bridge-name-too-long": Bad(config=net(bridge="bridge-of-16-chr"), code=7, says="bridge"),
    "mtu-too-large": Bad(config=net(mtu=70000), code=7, says="mtu"),
    "mac-no-mac": Bad(config=net(runtimeConfig={"mac": "nonsense"}), code=7, says="runtimeConfig.mac"),
    "mac-multicast": Bad(config=net(runtimeConfig={"mac": "01:00:5e:00:00:01"}), code=7, says="runtimeConfig.mac"),
    "mac-of-cni-args": Bad(config=net(), args="IgnoreUnknown=1;MAC=x", code=4, says="MAC"),
    "cni-args-broken": Bad(config=net(), args="IP", code=4, says="CNI_ARGS"),
    "cni-args-unknown": Bad(config=net(), args="FOO=1", code=4, says="FOO"),
    "network-name-missing": Bad(config=net(name=None), code=7, says="network name"),
    "network-name-bad": Bad(config=net(name="../net"), code=7, says="network name"),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
    "ipam-type-unknown": Bad(config=net(ipam={"type": "nowhere"}), code=7, says="nowhere"),
    "ipam-without-address": Bad(config=net(ipam={"type": "static"}), code=7, says="no address"),
    "no-range": Bad(config=net(ipam=ipam(ranges=[])), code=7, says="range"),
    "empty-set": Bad(config=net(ipam=ipam(ranges=[[]])), code=7, says="range set 0"),
    "subnet-missing": Bad(config=net(ipam=ipam(ranges=[[{}]])), code=7, says="subnet"),
    "subnet-no-subnet": Bad(config=ranges(subnet="10.1.0.0"), code=7, says="subnet"),
    "subnet-too-small": Bad(config=ranges(subnet="10.1.0.0/31"), code=7, says="too small"),
    "subnet-host-bits": Bad(config=ranges(subnet="10.1.0.1/24"), code=7, says="10.1.0.1/24"),
    "subnet-a-number": Bad(config=ranges(subnet=10), code=6, says="subnet"),
    "start-outside": Bad(config=ranges(rangeStart="10.2.0.1"), code=7, says="rangeStart"),
    "end-outside": Bad(config=ranges(rangeEnd="10.2.0.1"), code=7, says="rangeEnd"),
    "end-before-start": Bad(config=ranges(rangeStart="10.1.0.9", rangeEnd="10.1.0.5"), code=7, says="rangeEnd"),
    "gateway-no-address": Bad(config=ranges(gateway="10.1"), code=7, says="gateway"),
    "families-mixed": Bad(
        config=net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24"}, {"subnet": "fd01::/64"}]])), code=7, says="mixes"
    ),
    "ranges-overlap": Bad(
        config=net(ipam=ipam(ranges=[[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/16"}]])), code=7, says="overlaps"
    ),
    "sets-overlap": Bad(config=net(ipam=ipam(ranges=[*V4, *V4])), code=7, says="overlaps"),
    "two-of-a-family-in-0.2.0": Bad(
        config=net(cniVersion="0.2.0", ipam=ipam(ranges=[*V4, [{"subnet": "10.2.0.0/24"}]])), code=7, says="family"
    ),
    "request-outside": Bad(config=net(runtimeConfig={"ips": ["10.9.0.1"]}), code=7, says="10.9.0.1"),
    "request-the-gateway": Bad(config=net(runtimeConfig={"ips": ["10.1.0.1"]}), code=7, says="gateway"),
    "request-two-of-one-set": Bad(config=net(runtimeConfig={"ips": ["10.1.0.5", "10.1.0.6"]}), code=7, says="10.1.0.6"),
    "request-no-address": Bad(config=net(runtimeConfig={"ips": ["10.1.0"]}), code=7, says="runtimeConfig.ips"),
    "route-no-network": Bad(config=net(ipam=ipam(routes=[{"dst": "10.1"}])), code=7, says="dst"),
    "route-host-bits": Bad(config=net(ipam=ipam(routes=[{"dst": "10.200.3.4/16"}])), code=7, says="10.200.3.4/16"),
    "route-of-another-family": Bad(
        config=net(ipam=ipam(routes=[{"dst": "fd00::/64", "gw": "10.1.0.1"}])), code=7, says="gw"
    ),
    "route-beyond-the-link": Bad(
        config=net(ipam=ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.99.0.1"}])), code=7, says="10.99.0.1"
    ),
    "resolv-conf-gone": Bad(config=net(ipam=ipam(resolvConf="@DATA@/none")), code=5, says="resolvConf"),
}  # fmt: skip
