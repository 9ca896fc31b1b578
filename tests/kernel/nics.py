# SPDX-License-Identifier: Apache-2.0
"""NICs that a test makes on its node, and a tree like sysfs that tells which hardware they are.

A NIC is one end of a veth cable, the other end stands on the node as the wire: what kinds of links this machine's
kernel has that can move. (Where a namespace dies the kernel brings a real NIC home, and destroys this one.)
"""

from pathlib import Path
from typing import Any

from tests.kernel.conftest import Namespace, run_ip

MAC = "02:00:5e:00:00:09"


def nic(node: Namespace, name: str = "nic0", *, mac: str = MAC, mtu: int = 1500, up: bool = True) -> None:
    """One NIC, with its wire."""
    wire = f"wire-{name}"[:15]
    node.run("ip", "link", "add", name, "address", mac, "mtu", str(mtu), "type", "veth", "peer", wire)
    node.run("ip", "link", "set", wire, "up")
    if up:
        node.run("ip", "link", "set", name, "up")


def shown(namespace: Namespace, name: str) -> dict[str, Any] | None:
    """What a NIC has to have again when it is back; None when the namespace has no link of that name."""
    for link in run_ip(namespace, "-d", "link"):
        if link["ifname"] == name:
            return {
                "mac": link["address"],
                "mtu": link["mtu"],
                "up": "UP" in link["flags"],
                "alias": link.get("ifalias", ""),
                "names": sorted(link.get("altnames", [])),
            }
    return None


def pci(tree: Path, address: str, *, net: str = "", below: str = "", driver: str = "") -> None:
    """A PCI device: its link, perhaps one level below as virtio's, and its driver."""
    device = tree / "bus/pci/devices" / address
    device.mkdir(parents=True)
    if net:
        (device / below / "net" / net).mkdir(parents=True)
    if driver:
        (tree / "bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(tree / "bus/pci/drivers" / driver)


def auxiliary(tree: Path, name: str, net: str) -> None:
    """A device on the auxiliary bus."""
    (tree / "bus/auxiliary/devices" / name / "net" / net).mkdir(parents=True)
