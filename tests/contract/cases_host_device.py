# SPDX-License-Identifier: Apache-2.0
"""The configurations of host-device that the twins are given, those that work and those that both refuse."""

from typing import Any, Final

from tests.contract.cases import V4, V6, Bad, Case, ipam

PCI, VIRTIO, IDLE, BARE, DPDK = (f"0000:00:{slot:02}.0" for slot in range(3, 8))
AUXILIARY: Final = "mlx5_core.sf.4"
KERNEL_PATH: Final = "/sys/devices/system/nic"
LONG: Final = "an-alternative-name-of-a-nic"

DOWN: Final = ("link set nic0 down",)


def net(**more: Any) -> dict[str, Any]:
    """A network of the device nic0, without addresses; a None takes a key out."""
    config = {"cniVersion": "1.1.0", "name": "net", "type": "host-device", "device": "nic0"} | more
    return {key: value for key, value in config.items() if value is not None}


def by(**more: Any) -> dict[str, Any]:
    """A network whose device is named in another way."""
    return net(**{"device": None, **more})


def allocated(identifier: str, **more: Any) -> dict[str, Any]:
    """A network whose device the runtime has allocated."""
    return by(runtimeConfig={"deviceID": identifier}, **more)


CASES: Final = {
    "layer-2": Case(config=net()),
    "layer-2-empty-ipam": Case(config=net(ipam={})),
    "addresses": Case(config=net(ipam=ipam())),
    "dual-stack": Case(config=net(ipam=ipam(ranges=[*V4, *V6]))),
    "ipv6-alone": Case(config=net(ipam=ipam(ranges=V6))),
    "another-name": Case(config=net(ipam=ipam()), ifname="net.17"),
    "the-same-name": Case(config=net(), ifname="nic0"),
    "large-packets": Case(config=net(ipam=ipam()), before=("link set nic0 mtu 9000",)),
    "with-addresses-on-the-node": Case(config=net(ipam=ipam()), before=("address add 10.5.0.1/24 dev nic0",)),
    "in-a-bridge": Case(config=net(), before=("link add br1 type bridge", "link set nic0 master br1")),
    "by-alternative-name": Case(
        config=net(device="altnic"), before=("link property add dev nic0 altname altnic",)
    ),
    "by-long-name": Case(config=net(device=LONG), before=(f"link property add dev nic0 altname {LONG}",)),
    "by-mac": Case(config=by(hwaddr="02:00:5e:00:00:09", ipam=ipam())),
    "by-mac-in-capitals": Case(config=by(hwaddr="02-00-5E-00-00-09")),
    "by-mac-with-dots": Case(config=by(hwaddr="0200.5e00.0009")),
    "by-kernel-path": Case(config=by(kernelpath=KERNEL_PATH)),
    "by-pci": Case(config=by(pciBusID=PCI, ipam=ipam())),
    "by-pci-virtio": Case(config=by(pciBusID=VIRTIO)),
    "allocated-pci": Case(config=allocated(PCI)),
    "allocated-auxiliary": Case(config=allocated(AUXILIARY, ipam=ipam())),
    "allocated-beats-pci": Case(config=allocated(PCI, pciBusID=DPDK)),
    "allocated-auxiliary-beats-pci": Case(config=allocated(AUXILIARY, pciBusID=DPDK)),
    "name-beats-all": Case(
        config=net(hwaddr="02:00:5e:00:00:77", kernelpath="/sys/devices/none", pciBusID=PCI)
    ),
    "userspace": Case(config=by(pciBusID=DPDK)),
    "userspace-with-addresses": Case(config=by(pciBusID=DPDK, ipam=ipam())),
    "userspace-allocated": Case(config=allocated(DPDK, device="nic0", ipam=ipam(ranges=[*V4, *V6]))),
    "userspace-said": Case(config=net(DPDKMode=True, ipam=ipam())),
    "routes": Case(
        config=net(ipam=ipam(routes=[{"dst": "0.0.0.0/0"}, {"dst": "10.201.0.0/16", "gw": "10.1.0.77"}]))
    ),
    "route-with-metric": Case(config=net(ipam=ipam(routes=[{"dst": "10.200.0.0/16", "priority": 77}]))),
    "own-dns": Case(config=net(ipam=ipam(), dns={"nameservers": ["10.1.0.3"], "search": ["a.example"]})),
    "ips-of-the-runtime": Case(config=net(ipam=ipam(), runtimeConfig={"ips": ["10.1.0.50"]})),
    "ip-of-cni-args": Case(config=net(ipam=ipam()), args="IgnoreUnknown=1;IP=10.1.0.52;K8S_POD_NAME=p"),
    "unknown-cni-args": Case(config=net(), args="MAC=x;FOO=y"),
    "static-without-gateway": Case(
        config=net(ipam={"type": "static", "addresses": [{"address": "10.1.0.5/24"}, {"address": "fd01::5/64"}]})
    ),
    "keys-in-any-case": Case(config=by(DEVICE="nic0", IPAM=ipam())),
    "version-1.0.0": Case(config=net(cniVersion="1.0.0", ipam=ipam())),
    "version-0.4.0": Case(config=net(cniVersion="0.4.0", ipam=ipam(ranges=[*V4, *V6]))),
    "version-0.3.1": Case(config=net(cniVersion="0.3.1"), check=False),
    "version-0.2.0": Case(config=net(cniVersion="0.2.0", ipam=ipam()), check=False),
    "no-version": Case(config=net(cniVersion=None, ipam=ipam()), check=False),
}  # fmt: skip

BAD: Final = {
    "no-device": Bad(config=by(), code=7, says="names no device"),
    "empty-device": Bad(config=net(device=""), code=7, says="names no device"),
    "device-not-there": Bad(config=net(device="nic9"), code=7, says="nic9"),
    "device-too-long": Bad(config=net(device="x" * 200), code=7, says="device"),
    "device-a-path": Bad(config=net(device="../nic0"), code=7, says="../nic0"),
    "device-as-number": Bad(config=net(device=7), code=6, says="device"),
    "loopback": Bad(config=net(device="lo"), code=7, says="lo"),
    "mac-no-mac": Bad(config=by(hwaddr="02:00:5e"), code=7, says="02:00:5e"),
    "mac-nobodys": Bad(config=by(hwaddr="02:00:5e:00:00:77"), code=7, says="02:00:5e:00:00:77"),
    "mac-of-lo": Bad(config=by(hwaddr="00:00:00:00:00:00"), code=7, says="00:00:00:00:00:00"),
    "kernel-path-elsewhere": Bad(config=by(kernelpath="/etc/system"), code=7, says="/etc/system"),
    "kernel-path-relative": Bad(config=by(kernelpath="devices/system/nic"), code=7, says="devices/system/nic"),
    "kernel-path-alone": Bad(config=by(kernelpath="/sys/devices"), code=7, says="/sys/devices"),
    "kernel-path-not-there": Bad(config=by(kernelpath="/sys/devices/system/x"), code=7, says="/sys/devices/system/x"),
    "pci-not-there": Bad(config=by(pciBusID="0000:99:00.0"), code=7, says="0000:99:00.0"),
    "pci-without-driver": Bad(config=by(pciBusID=IDLE), code=7, says=IDLE),
    "pci-without-link": Bad(config=by(pciBusID=BARE), code=7, says=BARE),
    "pci-a-path": Bad(config=by(pciBusID="../devices/x"), code=7, says="pciBusID"),
    "allocated-not-there": Bad(config=allocated("0000:99:00.0"), code=7, says="0000:99:00.0"),
    "allocated-as-number": Bad(config=by(runtimeConfig={"deviceID": 7}), code=6, says="deviceID"),
    "ipam-type-unknown": Bad(config=net(ipam={"type": "nowhere"}), code=7, says="nowhere"),
    "ipam-without-address": Bad(config=net(ipam={"type": "static"}), code=7, says="no address"),
    "ipam-as-text": Bad(config=net(ipam="host-local"), code=6, says="ipam"),
    "route-beyond-the-link": Bad(
        config=net(ipam=ipam(routes=[{"dst": "10.2.0.0/16", "gw": "10.99.0.1"}])), code=7, says="10.99.0.1"
    ),
    "request-outside": Bad(config=net(ipam=ipam(), runtimeConfig={"ips": ["10.9.0.1"]}), code=7, says="10.9.0.1"),
    "dns-as-text": Bad(config=net(dns="10.1.0.3"), code=6, says="dns"),
    "network-name-missing": Bad(config=net(name=None), code=7, says="network name"),
    "version-unknown": Bad(config=net(cniVersion="1.2.0"), code=1, says="1.2.0"),
}  # fmt: skip
