# SPDX-License-Identifier: Apache-2.0
"""A bridge as the pods' gateway: which addresses it has to have, and giving it them. The same for all that has bridges.

Must not touch what is in a pod.
"""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from delegates import _forwarding
from delegates._text import Prefixed, prefixed
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Address, Result, Route
from metacni.netns import addresses, devices
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

_EVERYWHERE: Final = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def with_gateways(result: Result) -> Result:
    """Each address has a gateway: the IPAM's, else the first address of the subnet (E23)."""
    return replace(result, ips=tuple(map(_with_gateway, result.ips)))


def with_default_routes(result: Result) -> Result:
    """And a default route for each family over it, unless there is one with a next hop of its own (E24)."""
    routes = list(result.routes)
    done = {route.dst.version for route in routes if route.gw is not None and route.dst.prefixlen == 0}
    for item in result.ips:
        family = item.address.version
        if family not in done:
            done.add(family)
            routes.append(Route(dst=_EVERYWHERE[family], gw=item.gateway))
    return replace(result, routes=tuple(routes))


def ensure(
    host: Netlink, bridge: Device, ips: Sequence[Address], *, settings: Path, force: bool, detect_duplicates: bool
) -> None:
    """Have the bridge answer as these addresses' gateway, and the node forward (E23, E25).

    Raises:
        CniError: code 7, the bridge has another address; code 5, the kernel refuses.
    """
    for item in ips:
        if item.gateway is not None:
            wanted = prefixed("gateway", f"{item.gateway}/{item.address.network.prefixlen}")
            _ensure(host, bridge, wanted, force=force, detect_duplicates=detect_duplicates)
    _forwarding.switch_on(settings, ips)


def _with_gateway(item: Address) -> Address:
    return item if item.gateway is not None else replace(item, gateway=item.address.network.network_address + 1)


def _ensure(host: Netlink, bridge: Device, wanted: Prefixed, *, force: bool, detect_duplicates: bool) -> None:
    what = f"cannot add address '{wanted}' to bridge {bridge.name!r}"
    with failing(what):
        standing = addresses.of(host, bridge.index, wanted.version)
    if wanted in standing:
        return
    for other in standing:
        if _in_the_way(other, wanted):
            if not force:
                hint = "forceAddress replaces it; another network may be using it"
                raise CniError(Code.CONFIG, f"{what}: it has '{other}' already", hint)
            with failing(f"cannot remove address '{other}' from bridge {bridge.name!r}"):
                addresses.delete(host, bridge.index, other)
    with failing(what, fine=FileExistsError):  # another ADD was quicker, and has pinned the MAC
        addresses.add(host, bridge.index, wanted, detect_duplicates=detect_duplicates)
        # without, the bridge would take the lowest MAC of its ports, and change it as they come and go
        devices.set_mac(host, bridge.index, bridge.mac)


def _in_the_way(other: Prefixed, wanted: Prefixed) -> bool:
    """A bridge has one IPv4 address, and one IPv6 address of each subnet (E25)."""
    return wanted.version == 4 or other.network.overlaps(wanted.network)  # noqa: PLR2004 - of one family
