# SPDX-License-Identifier: Apache-2.0
"""The configurations of ipvlan, vlan and dummy that the twins are given, those that work and those that both refuse."""

from functools import partial
from typing import Any, Final

from tests.contract.cases import MACS, V4, V6, ipam
from tests.contract.sublinks import DEFAULT, NODE, Config, Refused, Row, net

ipvlan = partial(net, "ipvlan")
vlan = partial(net, "vlan", vlanId=5)
dummy = partial(net, "dummy", master=None)

IN_POD: Final = (f"link add m0 address {MACS[1]} type veth peer m1", "link set m0 up", "link set m1 up")
DNS: Final = {"nameservers": ["10.1.0.4"]}


def static(*addresses: str, **more: Any) -> Config:
    """The IPAM that gives what it is told."""
    return {"type": "static", "addresses": [{"address": address} for address in addresses], **more}


def prev(*interfaces: str, ips: tuple[str, ...] = ("10.3.0.5/16",), **more: Any) -> Config:
    """What an earlier plugin of the chain has printed."""
    named = [{"name": name} for name in interfaces]
    given = [{"address": address, "interface": 0} for address in ips]
    return {"cniVersion": "1.1.0", "interfaces": named, "ips": given, **more}


IPVLAN: Final = {
    "plain": Row(config=ipvlan()),
    "mode-l2": Row(config=ipvlan(mode="l2")),
    "mode-l3": Row(config=ipvlan(mode="l3")),
    "mode-l3s": Row(config=ipvlan(mode="l3s")),
    "mode-empty": Row(config=ipvlan(mode="")),
    "mtu": Row(config=ipvlan(mtu=1400)),
    "mtu-above-the-masters": Row(config=ipvlan(mtu=3000)),
    "default-master": Row(config=ipvlan(master=None), node=DEFAULT, check=False),  # the reference's CHECK has none
    "in-container": Row(config=ipvlan(master="m0", linkInContainer=True), pod=IN_POD),
    "in-container-default-master": Row(
        config=ipvlan(master=None, linkInContainer=True),
        pod=(*IN_POD, "address add 10.9.0.9/24 dev m0", "route add default via 10.9.0.1"), check=False,
    ),
    "the-node-has-the-name": Row(config=ipvlan(), node=(*NODE, "link add eth0 type dummy")),
    "another-name": Row(config=ipvlan(), ifname="net.17"),
    "ipv6-alone": Row(config=ipvlan(ipam=ipam(ranges=V6, routes=[{"dst": "::/0"}]))),
    "dual-stack-l3": Row(config=ipvlan(mode="l3", ipam=ipam(ranges=[*V4, *V6]))),
    "l3-default-route-without-gateway": Row(
        config=ipvlan(mode="l3", ipam=static("10.1.0.5/32", routes=[{"dst": "0.0.0.0/0"}])),
        check=False,  # the reference's wants a route to the address, which the kernel does not have
    ),
    "static-with-dns": Row(config=ipvlan(ipam=static("10.1.0.5/24", dns=DNS)), ours={"dns": DNS}),
    "own-dns": Row(config=ipvlan(dns=DNS)),
    "chained-master": Row(config=ipvlan(master=None, prevResult=prev("e0")), check=False),
    "chained-addresses": Row(
        config=ipvlan(ipam=None, prevResult=prev("x", "y", routes=[{"dst": "10.77.0.0/16", "gw": "10.3.0.1"}]))
    ),
    "chained-both": Row(
        config=ipvlan(master=None, ipam={}, prevResult=prev("e0", ips=("10.3.0.5/16", "fd03::5/64"))),
        check=False, delete=False,  # the reference's DEL looks for the one interface in the final result
    ),
    "chained-dns": Row(config=ipvlan(ipam=None, prevResult=prev("e0", dns=DNS)), ours={"dns": DNS}),
    "chained-but-own-ipam": Row(config=ipvlan(prevResult=prev("x", "y", routes=[{"dst": "10.77.0.0/16"}]))),
    "ips-of-the-runtime": Row(config=ipvlan(runtimeConfig={"ips": ["10.1.0.50"]})),
    "keys-in-any-case": Row(config=ipvlan(master=None) | {"MASTER": "e0", "Mode": "l3"}),
    "version-0.4.0": Row(config=ipvlan(cniVersion="0.4.0")),
    "version-0.2.0": Row(config=ipvlan(cniVersion="0.2.0"), check=False),
}  # fmt: skip

VLAN: Final = {
    "plain": Row(config=vlan()),
    "identifier-0": Row(config=vlan(vlanId=0)),
    "no-identifier": Row(config=vlan(vlanId=None)),
    "identifier-4094": Row(config=vlan(vlanId=4094)),
    "mtu": Row(config=vlan(mtu=1400)),
    "mtu-the-masters": Row(config=vlan(mtu=1500)),
    "in-container": Row(config=vlan(master="m0", linkInContainer=True), pod=IN_POD),
    "on-a-dummy": Row(config=vlan(master="d0"), node=(f"link add d0 address {MACS[0]} type dummy", "link set d0 up")),
    "beside-another-vlan": Row(config=vlan(), node=(*NODE, "link add link e0 name e0.6 type vlan id 6")),
    "the-node-has-the-name": Row(config=vlan(), node=(*NODE, "link add eth0 type dummy")),
    "ipv6-alone": Row(config=vlan(ipam=ipam(ranges=V6, routes=[{"dst": "::/0"}]))),
    "dual-stack": Row(config=vlan(ipam=ipam(ranges=[*V4, *V6]))),
    "routes": Row(
        config=vlan(ipam=ipam(routes=[{"dst": "10.200.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.1.0.7", "priority": 5}]))
    ),
    "static-with-dns": Row(config=vlan(ipam=static("10.1.0.5/24", dns=DNS)), ours={"dns": DNS}),
    "an-earlier-result-is-dropped": Row(config=vlan(prevResult=prev("e0"))),
    "keys-in-any-case": Row(config=vlan(vlanId=None) | {"VlanID": 7}),
    "version-0.3.1": Row(config=vlan(cniVersion="0.3.1"), check=False),
}  # fmt: skip

DUMMY: Final = {
    "plain": Row(config=dummy()),
    "another-name": Row(config=dummy(), ifname="net.17"),
    "the-node-has-the-name": Row(config=dummy(), node=("link add eth0 type dummy",)),
    "ipv6-alone": Row(config=dummy(ipam=ipam(ranges=V6))),
    "dual-stack": Row(config=dummy(ipam=ipam(ranges=[*V4, *V6]))),
    "host-addresses": Row(
        config=dummy(ipam=static("10.1.0.5/32", "10.1.0.6/32", "fd01::5/128")),
        check=False,  # likewise
    ),
    "routes": Row(config=dummy(ipam=ipam(routes=[{"dst": "10.200.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.1.0.7"}]))),
    "static-with-dns": Row(config=dummy(ipam=static("10.1.0.5/24", dns=DNS))),
    "own-dns": Row(config=dummy(dns=DNS), ours={"dns": DNS}),  # the reference ignores it
    "an-earlier-result-is-dropped": Row(config=dummy(prevResult=prev("e0"))),
    "version-0.2.0": Row(config=dummy(cniVersion="0.2.0"), check=False),
}

EXISTS: Final = ("link add eth0 type dummy",)
REFUSED: Final = {
    "ipvlan-mode-unknown": Refused(config=ipvlan(mode="l4"), code=7, says="l4"),
    "ipvlan-mode-a-number": Refused(config=ipvlan(mode=2), code=6, says="mode"),
    "ipvlan-mtu-as-text": Refused(config=ipvlan(mtu="1400"), code=6, says="mtu"),
    "ipvlan-master-missing": Refused(config=ipvlan(master="e7"), code=7, says="'e7'"),
    "ipvlan-master-is-lo": Refused(config=ipvlan(master="lo"), code=5, says="eth0"),
    "ipvlan-no-default-route": Refused(config=ipvlan(master=None), code=7, says="no default route"),
    "ipvlan-no-ipam": Refused(config=ipvlan(ipam=None), code=7, says="ipam"),
    "ipvlan-chained-without-address": Refused(
        config=ipvlan(ipam=None, prevResult=prev("e0", ips=())), code=7, says="ipam"
    ),
    "ipvlan-chained-two-masters": Refused(
        config=ipvlan(master=None, prevResult=prev("e0", "e1")), code=7, says="master"
    ),
    "ipvlan-chained-no-master": Refused(config=ipvlan(master=None, prevResult=prev()), code=7, says="master"),
    "ipvlan-beside-a-macvlan": Refused(
        config=ipvlan(), node=(*NODE, "link add p0 link e0 type macvlan"), code=11, says="never both"
    ),
    "ipvlan-interface-exists": Refused(config=ipvlan(), pod=EXISTS, code=7, says="one of that name"),
    "ipvlan-route-beyond": Refused(
        config=ipvlan(ipam=ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.99.0.1"}])), code=7, says="10.99.0.1"
    ),
    "vlan-4095": Refused(config=vlan(vlanId=4095), code=7, says="4095"),
    "vlan-negative": Refused(config=vlan(vlanId=-1), code=7, says="vlanId"),
    "vlan-as-text": Refused(config=vlan(vlanId="5"), code=6, says="vlanId"),
    "vlan-no-master": Refused(config=vlan(master=None), node=DEFAULT, code=7, says="master"),
    "vlan-master-missing": Refused(config=vlan(master="e7"), code=7, says="'e7'"),
    "vlan-master-down": Refused(config=vlan(), node=(*NODE, "link set e0 down"), code=5, says="eth0"),
    "vlan-mtu-above-the-masters": Refused(config=vlan(mtu=1501), code=7, says="1501"),
    "vlan-mtu-negative": Refused(config=vlan(mtu=-1), code=7, says="mtu"),
    "vlan-no-ipam": Refused(config=vlan(ipam=None), code=7, says="ipam"),
    "vlan-taken": Refused(
        config=vlan(), node=(*NODE, "link add link e0 name e0.5 type vlan id 5"), code=11, says="vlan 5"
    ),
    "vlan-interface-exists": Refused(config=vlan(), pod=EXISTS, code=7, says="one of that name"),
    "dummy-no-ipam": Refused(config=dummy(ipam=None), code=7, says="ipam"),
    "dummy-ipam-without-address": Refused(config=dummy(ipam=static()), code=7, says="address"),
    "dummy-interface-exists": Refused(config=dummy(), pod=EXISTS, code=7, says="one of that name"),
    "dummy-version-unknown": Refused(config=dummy(cniVersion="2.0.0"), code=1, says="2.0.0"),
}  # fmt: skip
