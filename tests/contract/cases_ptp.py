# SPDX-License-Identifier: Apache-2.0
"""The configurations of ptp that the twins are given, those that work and those that both refuse."""

from typing import Any, Final

from tests.contract.cases import V4, V6, Bad, Case, ipam
from tests.contract.cases import ranges as range_of


def net(**more: Any) -> dict[str, Any]:
    """A network of cables, of the newest version unless another is given; a None takes a key out."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipam": ipam()} | more
    return {key: value for key, value in config.items() if value is not None}


def static(*addresses: tuple[str, str], **more: Any) -> dict[str, Any]:
    """The IPAM that gives what it is told: addresses, each with its gateway."""
    listed = [{"address": address} | ({"gateway": gateway} if gateway else {}) for address, gateway in addresses]
    return {"type": "static", "addresses": listed, **more}


CASES: Final = {
    "plain": Case(config=net()),
    "dual-stack": Case(config=net(ipam=ipam(ranges=[*V4, *V6]))),
    "ipv6-alone": Case(config=net(ipam=ipam(ranges=V6))),
    "mtu": Case(config=net(mtu=1400)),
    "mtu-large": Case(config=net(mtu=9000)),
    "mtu-zero": Case(config=net(mtu=0)),
    "another-name": Case(config=net(), ifname="net.17"),
    "forwarding-is-on": Case(config=net(), before=("link add v0 type veth peer v1",)),
    "gateway-named": Case(config=net(ipam=ipam(subnet="10.2.0.0/16", gateway="10.2.9.9"))),
    "two-subnets": Case(config=net(ipam=ipam(ranges=[*V4, [{"subnet": "10.2.0.0/24"}]]))),
    "smallest-subnet": Case(config=net(ipam=ipam(subnet="10.1.0.0/30"))),
    "default-route": Case(config=net(ipam=ipam(routes=[{"dst": "0.0.0.0/0"}]))),
    "default-routes-of-both": Case(
        config=net(ipam=ipam(ranges=[*V4, *V6], routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]))
    ),
    "routes-with-gateways": Case(
        config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16"}, {"dst": "10.201.0.0/16", "gw": "10.1.0.77"}]))
    ),
    "ipv6-route-with-gateway": Case(
        config=net(ipam=ipam(ranges=V6, routes=[{"dst": "fd77::/64"}, {"dst": "fd78::/64", "gw": "fd01::77"}]))
    ),
    "route-with-metric": Case(config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16", "priority": 77}]))),
    "route-in-a-table": Case(
        config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16", "table": 100}])),
        check=False,  # the reference looks into the main table only
    ),
    "own-dns": Case(config=net(dns={"nameservers": ["10.1.0.3"], "domain": "a.example"})),
    "own-dns-empty": Case(config=net(dns={"nameservers": []}, ipam=ipam(resolvConf="@DATA@.resolv"))),
    "dns-of-a-file": Case(config=net(dns={}, ipam=ipam(resolvConf="@DATA@.resolv"))),
    "ips-of-the-runtime": Case(config=net(runtimeConfig={"ips": ["10.1.0.50"]})),
    "ips-of-args": Case(config=net(args={"cni": {"ips": ["10.1.0.51/24"]}})),
    "ip-of-cni-args": Case(config=net(), args="IgnoreUnknown=1;IP=10.1.0.52;K8S_POD_NAME=p"),
    "ranges-of-the-runtime": Case(config=net(runtimeConfig={"ipRanges": [[{"subnet": "10.7.0.0/24"}]]})),
    "static": Case(config=net(ipam=static(("10.1.0.5/24", "10.1.0.1")))),
    "static-dual-stack": Case(config=net(ipam=static(("10.1.0.5/24", "10.1.0.1"), ("fd01::5/64", "fd01::1")))),
    "static-with-routes": Case(
        config=net(ipam=static(("10.1.0.5/24", "10.1.0.1"), routes=[{"dst": "0.0.0.0/0"}], dns={"search": ["b"]}))
    ),
    "static-of-two": Case(config=net(ipam=static(("10.1.0.0/31", "10.1.0.1")))),
    "static-ipv6-alone-in-its-prefix": Case(config=net(ipam=static(("fd01::5/128", "fd01::1")))),
    "masqueraded": Case(config=net(ipMasq=True, ipMasqBackend="nftables")),
    "masqueraded-dual-stack": Case(
        config=net(ipMasq=True, ipMasqBackend="nftables", ipam=ipam(ranges=[*V4, *V6], routes=[{"dst": "::/0"}]))
    ),
    "not-masqueraded": Case(config=net(ipMasq=False, ipMasqBackend="nonsense")),
    "keys-in-any-case": Case(config=net(ipam=None) | {"MTU": 1300, "IPMASQ": False, "IPAM": ipam()}),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0", ipam=ipam(routes=[{"dst": "0.0.0.0/0"}]))),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0", ipam=ipam(ranges=[*V4, *V6]))),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1"), check=False),
    "version-0.2.0": Case(config=net(cniVersion="0.2.0", ipam=ipam(ranges=[*V4, *V6])), check=False),
    "no-version": Case(config=net(cniVersion=None), check=False),
}


def _ranges(**keys: Any) -> dict[str, Any]:
    return net(ipam=range_of(**keys)["ipam"])


BAD: Final = {
    "no-ipam": Bad(config=net(ipam=None), code=7, says="ipam"),
    "empty-ipam": Bad(config=net(ipam={}), code=7, says="ipam"),
    "ipam-type-unknown": Bad(config=net(ipam={"type": "nowhere"}), code=7, says="nowhere"),
    "ipam-without-address": Bad(config=net(ipam={"type": "static"}), code=7, says="no address"),
    "ipam-without-gateway": Bad(config=net(ipam=static(("10.1.0.5/24", ""))), code=7, says="10.1.0.5/24"),
    "second-without-gateway": Bad(
        config=net(ipam=static(("10.1.0.5/24", "10.1.0.1"), ("10.2.0.5/24", ""))), code=7, says="10.2.0.5/24"
    ),
    "ipv6-without-gateway": Bad(config=net(ipam=static(("fd01::5/64", ""))), code=7, says="fd01::5/64"),
    "no-room-for-a-gateway": Bad(config=net(ipam=static(("10.1.0.5/32", "10.1.0.1"))), code=7, says="10.1.0.5/32"),
    "mtu-too-large": Bad(config=net(mtu=70000), code=7, says="mtu"),
    "mtu-too-small": Bad(config=net(mtu=60), code=7, says="mtu"),
    "mtu-as-text": Bad(config=net(mtu="1500"), code=6, says="mtu"),
    "mtu-broken": Bad(config=net(mtu=1400.5), code=6, says="mtu"),
    "flag-as-text": Bad(config=net(ipMasq="true"), code=6, says="ipMasq"),
    "backend-unknown": Bad(config=net(ipMasq=True, ipMasqBackend="pf"), code=7, says="pf"),
    "backend-as-number": Bad(config=net(ipMasq=True, ipMasqBackend=1), code=6, says="ipMasqBackend"),
    "dns-as-text": Bad(config=net(dns="10.1.0.3"), code=6, says="dns"),
    "dns-search-as-text": Bad(config=net(dns={"search": "a"}), code=6, says="search"),
    "cni-args-broken": Bad(config=net(), args="IP", code=4, says="CNI_ARGS"),
    "network-name-missing": Bad(config=net(name=None), code=7, says="network name"),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
    "range-host-bits": Bad(config=_ranges(subnet="10.1.0.1/24"), code=7, says="10.1.0.1/24"),
    "request-outside": Bad(config=net(runtimeConfig={"ips": ["10.9.0.1"]}), code=7, says="10.9.0.1"),
    "request-the-gateway": Bad(config=net(runtimeConfig={"ips": ["10.1.0.1"]}), code=7, says="gateway"),
    "route-beyond-the-cable": Bad(
        config=net(ipam=ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.99.0.1"}])), code=7, says="10.99.0.1"
    ),
}  # fmt: skip
