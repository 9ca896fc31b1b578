# SPDX-License-Identifier: Apache-2.0
"""The configurations of macvlan that the twins are given, those that work and those that both refuse."""

from typing import Any, Final

from tests.contract.cases import MACS, V4, V6, ipam
from tests.contract.sublinks import DEFAULT, NODE, Config, Refused, Row
from tests.contract.sublinks import net as any_net


def net(**more: Any) -> Config:
    """A macvlan network."""
    return any_net("macvlan", **more)


IN_POD: Final = ("link add m0 type veth peer m1", "link set m0 up", "link set m1 up")
STATIC: Final = {
    "type": "static",
    "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
}

ROWS: Final = {
    "plain": Row(config=net()),
    "mode-bridge": Row(config=net(mode="bridge")),
    "mode-private": Row(config=net(mode="private")),
    "mode-vepa": Row(config=net(mode="vepa")),
    "mode-passthru": Row(config=net(mode="passthru")),
    "mode-empty": Row(config=net(mode="")),
    "layer-2": Row(config=net(ipam=None)),
    "layer-2-empty-ipam": Row(config=net(ipam={}, mac=MACS[1])),
    "layer-2-passthru": Row(config=net(ipam=None, mode="passthru")),
    "mtu": Row(config=net(mtu=1400)),
    "mtu-the-masters": Row(config=net(mtu=1500)),
    "mtu-zero": Row(config=net(mtu=0)),
    "mtu-of-a-smaller-master": Row(config=net(), node=(*NODE, "link set e0 mtu 1300")),
    "queue": Row(config=net(bcqueuelen=500)),
    "default-master": Row(config=net(master=None), node=DEFAULT),
    "empty-master": Row(config=net(master=""), node=DEFAULT),
    "default-master-of-ipv6": Row(
        config=net(master=None),
        node=(*NODE, "address add fd09::9/64 dev e0 nodad", "route add default via fd09::1"),
    ),
    "the-better-of-two-default-routes": Row(
        config=net(master=None),
        node=(*DEFAULT, "address add 10.8.0.9/24 dev e1", "route add default via 10.8.0.1 metric 5"),
    ),
    "in-container": Row(config=net(master="m0", linkInContainer=True), pod=IN_POD),
    "in-container-default-master": Row(
        config=net(master=None, linkInContainer=True),
        pod=(*IN_POD, "address add 10.9.0.9/24 dev m0", "route add default via 10.9.0.1"),
    ),
    "the-node-has-the-name": Row(config=net(), node=(*NODE, "link add eth0 type veth peer eth1")),
    "another-name": Row(config=net(), ifname="net.17"),
    "master-down": Row(config=net(), node=(*NODE, "link set e0 down"), check=False),
    "ipv6-alone": Row(config=net(ipam=ipam(ranges=V6, routes=[{"dst": "::/0"}]))),
    "dual-stack": Row(config=net(ipam=ipam(ranges=[*V4, *V6]))),
    "routes": Row(
        config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.1.0.7", "priority": 5}]))
    ),
    "static": Row(config=net(ipam=STATIC)),
    "mac": Row(config=net(mac=MACS[1])),
    "mac-in-capitals": Row(config=net(mac=MACS[1].upper())),
    "mac-of-the-runtime": Row(config=net(runtimeConfig={"mac": MACS[1]})),
    "mac-of-cni-args": Row(config=net(), args=f"IgnoreUnknown=1;MAC={MACS[1]}"),
    "mac-of-all": Row(
        config=net(mac=MACS[0], runtimeConfig={"mac": MACS[2]}), args=f"IgnoreUnknown=1;MAC={MACS[1]}"
    ),
    "mac-of-args-is-not-read": Row(config=net(mac=MACS[2], args={"cni": {"mac": MACS[1]}})),
    "ips-of-the-runtime": Row(config=net(runtimeConfig={"ips": ["10.1.0.50"]})),
    "own-dns": Row(config=net(dns={"nameservers": ["10.1.0.3"]})),
    "dns-of-the-ipam": Row(  # the reference loses it; here it counts when the network has none, as with the bridge
        config=net(ipam=STATIC | {"dns": {"nameservers": ["10.1.0.4"]}}), ours={"dns": {"nameservers": ["10.1.0.4"]}}
    ),
    "an-earlier-result-is-dropped": Row(
        config=net(
            prevResult={"cniVersion": "1.1.0", "interfaces": [{"name": "e0"}], "ips": [{"address": "10.3.0.1/8"}]}
        )
    ),
    "keys-in-any-case": Row(
        config=net(master=None, ipam=None) | {"MASTER": "e0", "Mode": "vepa", "IPAM": ipam(), "MTU": 1400}
    ),
    "version-1.0.0": Row(config=net(cniVersion="1.0.0")),
    "version-0.4.0": Row(config=net(cniVersion="0.4.0")),
    "version-0.3.1": Row(config=net(cniVersion="0.3.1"), check=False),
    "version-0.2.0": Row(config=net(cniVersion="0.2.0"), check=False),
    "no-version": Row(config=net(cniVersion=None), check=False),
}  # fmt: skip

REFUSED: Final = {
    "mode-unknown": Refused(config=net(mode="source"), code=7, says="source"),
    "mode-in-capitals": Refused(config=net(mode="Bridge"), code=7, says="Bridge"),
    "mode-a-number": Refused(config=net(mode=4), code=6, says="mode"),
    "mtu-above-the-masters": Refused(config=net(mtu=1501), code=7, says="1501"),
    "mtu-negative": Refused(config=net(mtu=-1), code=7, says="mtu"),
    "mtu-as-text": Refused(config=net(mtu="1500"), code=6, says="mtu"),
    "mtu-of-no-link": Refused(config=net(mtu=67), code=7, says="67"),
    "master-missing": Refused(config=net(master="e7"), code=7, says="'e7'"),
    "master-of-the-node-in-container": Refused(config=net(linkInContainer=True), code=7, says="pod has no such link"),
    "master-of-the-pod-on-the-node": Refused(config=net(master="m0"), pod=IN_POD, code=7, says="node has no such link"),
    "master-name-too-long": Refused(config=net(master="a-name-of-16-chr"), code=7, says="master"),
    "master-is-lo": Refused(config=net(master="lo"), code=5, says="eth0"),
    "no-default-route": Refused(config=net(master=None), code=7, says="no default route"),
    "no-default-route-in-container": Refused(
        config=net(master=None, linkInContainer=True), node=DEFAULT, code=7, says="no default route"
    ),
    "in-container-as-text": Refused(config=net(linkInContainer="yes"), code=6, says="linkInContainer"),
    "mac-no-mac": Refused(config=net(mac="nonsense"), code=7, says="mac"),
    "mac-multicast": Refused(config=net(mac="01:00:5e:00:00:01"), code=7, says="mac"),
    "mac-of-cni-args": Refused(config=net(), args="IgnoreUnknown=1;MAC=x", code=4, says="MAC"),
    "mac-of-the-runtime": Refused(config=net(runtimeConfig={"mac": "x"}), code=7, says="runtimeConfig.mac"),
    "cni-args-unknown": Refused(config=net(), args="FOO=1", code=4, says="FOO"),
    "queue-negative": Refused(config=net(bcqueuelen=-1), code=7, says="bcqueuelen"),
    "queue-too-long": Refused(config=net(bcqueuelen=2**32), code=7, says="bcqueuelen"),
    "second-on-a-passthru-master": Refused(
        config=net(), node=(*NODE, "link add p0 link e0 type macvlan mode passthru"), code=5, says="passthru"
    ),
    "passthru-on-a-used-master": Refused(
        config=net(mode="passthru"), node=(*NODE, "link add p0 link e0 type macvlan"), code=5, says="passthru"
    ),
    "interface-exists": Refused(
        config=net(), pod=("link add eth0 type veth peer eth1",), code=7, says="one of that name"
    ),
    "interface-exists-in-container": Refused(
        config=net(master="m0", linkInContainer=True),
        pod=(*IN_POD, "link add eth0 type veth peer eth1"), code=7, says="one of that name",
    ),
    "ipam-unknown": Refused(config=net(ipam={"type": "nowhere"}), code=7, says="nowhere"),
    "ipam-without-address": Refused(config=net(ipam={"type": "static"}), code=7, says="address"),
    "route-beyond-the-link": Refused(
        config=net(ipam=ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.99.0.1"}])), code=7, says="10.99.0.1"
    ),
    "version-unknown": Refused(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
}  # fmt: skip
