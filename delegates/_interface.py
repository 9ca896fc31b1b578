# SPDX-License-Identifier: Apache-2.0
"""A pod's interface: what an IPAM gave is put on it, and later compared. The same for every delegate with addresses.

Addresses are usable at once: an IPAM's are unique by construction, so IPv6 does not look for duplicates, unless the
network wants it. Must not make or delete a link, nor know what kind it is.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from delegates._call import Call, Conf, Pod
from delegates._text import Ip
from metacni.cni.errors import CniError, Code
from metacni.cni.names import IfName
from metacni.cni.result import Address, Interface, Result, Route
from metacni.netns import addresses, devices, routes
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.routes import MAIN_TABLE, Standing

SETTLE: Final = 5.0
"""Seconds for IPv6 to find no duplicate, where that is wanted (E8)."""

_LO: Final = "ipv6/conf/lo/disable_ipv6"
_FOR_IPV6: Final = ("disable_ipv6", "keep_addr_on_down", "ndisc_notify")
_PAUSE: Final = 0.02
_NOT_ON_LINK: Final = "no address or route of the interface covers the gateway"


def settings(ifname: str, result: Result) -> tuple[str, ...]:
    """The settings below /proc/sys/net that `configure` writes; each costs, so no more than that."""
    always = (f"ipv4/conf/{ifname}/arp_notify", f"ipv6/conf/{ifname}/accept_dad", f"ipv6/conf/{ifname}/enhanced_dad")
    if not _has_ipv6(result):
        return always
    return (*always, _LO, *(f"ipv6/conf/{ifname}/{name}" for name in _FOR_IPV6))


def configure(pod: Pod, index: int, ifname: IfName, result: Result, *, detect_duplicates: bool) -> None:
    """Put addresses, then the link up, then routes, in the order given (E6-E10).

    Args:
        pod: opened with `settings(ifname, result)`.
        index: the interface's.
        ifname: its name.
        result: whose addresses and routes.
        detect_duplicates: have IPv6 ask the network before it uses an address.

    Raises:
        CniError: code 5, the kernel refuses; code 7, a gateway that cannot be reached; code 11, a duplicate.
    """
    ours = [item for item in result.ips if item.interface is not None]
    six = _has_ipv6(result)
    with failing(f"cannot set up interface {ifname!r}"):
        _tune(pod, ifname, six=six, detect_duplicates=detect_duplicates)
    for item in ours:
        with failing(f"cannot add address '{item.address}' to interface {ifname!r}"):
            addresses.add(pod.links, index, item.address, detect_duplicates=detect_duplicates)
    with failing(f"cannot bring up interface {ifname!r}"):
        devices.bring_up(pod.links, index)
    if six and detect_duplicates:
        _settle(pod.links, index, ifname)
    for route in result.routes:
        _add_route(pod.links, index, route, _gateway(route, ours))


def _has_ipv6(result: Result) -> bool:
    return any(item.address.version == 6 and item.interface is not None for item in result.ips)  # noqa: PLR2004 - IPv6


def _tune(pod: Pod, ifname: IfName, *, six: bool, detect_duplicates: bool) -> None:
    """arp_notify and ndisc_notify have the kernel announce addresses (E33)."""
    mine = f"ipv6/conf/{ifname}"
    pod.set(f"ipv4/conf/{ifname}/arp_notify", "1")
    if detect_duplicates:
        pod.set(f"{mine}/enhanced_dad", "1")
    pod.set(f"{mine}/accept_dad", "1" if detect_duplicates else "0")
    if six:
        pod.set(_LO, "0")
        if not pod.set(f"{mine}/disable_ipv6", "0"):
            raise CniError(Code.CONFIG, f"cannot give interface {ifname!r} IPv6 addresses: the pod has no IPv6")
        pod.set(f"{mine}/keep_addr_on_down", "1")
        pod.set(f"{mine}/ndisc_notify", "1")


def _settle(netlink: Netlink, index: int, ifname: IfName) -> None:
    end = time.monotonic() + SETTLE
    while True:
        with failing(f"cannot list the addresses of interface {ifname!r}"):
            failed, waiting = addresses.duplicate_detection(netlink, index)
        if failed:
            told = ", ".join(map(str, failed))
            raise CniError(Code.TRY_AGAIN, f"cannot use address '{told}' on interface {ifname!r}: somebody else has it")
        if not waiting:
            return
        if time.monotonic() > end:
            raise CniError(Code.TRY_AGAIN, f"cannot use interface {ifname!r}: no end of duplicate address detection")
        time.sleep(_PAUSE)


def _gateway(route: Route, ours: Sequence[Address]) -> Ip | None:
    """The route's own next hop, else the first gateway of its family, else none (E9)."""
    firsts = (item.gateway for item in ours if item.gateway and item.gateway.version == route.dst.version)
    return route.gw or next(firsts, None)


def _add_route(netlink: Netlink, index: int, route: Route, gateway: Ip | None) -> None:
    via = f" via '{gateway}'" if gateway else ""
    what = f"cannot add route '{route.dst}'{via}"
    try:
        with failing(what):
            routes.add(netlink, index, route, gateway)
    except CniError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in routes.NOT_ON_LINK:
            raise CniError(Code.CONFIG, error.msg, _NOT_ON_LINK) from error.__cause__
        raise


def announce(pod: Pod, device: Device, ifname: IfName) -> None:
    """Have the kernel tell the neighbours whose these addresses are now: somebody else's, until a moment ago.

    It does so when a MAC is set, be it the same. When the link came up it did, too, but into a port that did not
    forward yet.
    """
    with failing(f"cannot announce the addresses of interface {ifname!r}"):
        devices.set_mac(pod.links, device.index, device.mac)


def wait_until_operational(netlink: Netlink, index: int, name: str, patience: float) -> Device:
    """The link, once frames pass: its own end and the far one are up (E32).

    Raises:
        CniError: code 11, not within these seconds; code 5, it is gone.
    """
    end = time.monotonic() + patience
    pause = 0.0002
    while True:
        with failing(f"cannot look at link {name!r}"):
            device = devices.at(netlink, index)
        if device is None:
            raise CniError(Code.IO, f"cannot look at link {name!r}: it is gone")
        if device.operational:
            return device
        if time.monotonic() > end:
            raise CniError(Code.TRY_AGAIN, f"cannot use link {name!r}: it does not become operational")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def reported(call: Call[Conf], result: Result) -> Interface:
    """The pod's interface in the ADD's result, in the very namespace of this call (E14).

    Raises:
        CniError: code 7, it is not in there.
    """
    for item in result.interfaces:
        if item.name == call.environment.ifname and item.sandbox == call.environment.netns:
            return item
    named = f"interface {call.environment.ifname!r} in {call.environment.netns!r}"
    raise CniError(Code.CONFIG, f"cannot check the attachment: prevResult has no {named}")


def standing(pod: Pod, wanted: Interface) -> Device:
    """The interface as it is, with the MAC that was reported.

    Raises:
        CniError: code 999, it is gone, or has another MAC.
    """
    with failing("cannot look at the links of the pod"):
        found = devices.find(pod.links, wanted.name)
    if found is None:
        raise unconfirmed(f"interface {wanted.name!r}", "it is gone")
    if wanted.mac and wanted.mac.lower() != found.mac:
        raise unconfirmed(f"interface {wanted.name!r}", f"its MAC is {found.mac}, not {wanted.mac}")
    return found


def unconfirmed(what: str, cause: str) -> CniError:
    """What CHECK says of something that is not as the ADD left it."""
    return CniError(Code.INTERNAL, f"cannot confirm {what}: {cause}")


def check(pod: Netlink, index: int, ifname: IfName, result: Result) -> None:
    """Compare addresses and routes with what the ADD reported (E13).

    Raises:
        CniError: code 999, naming what is missing.
    """
    with ExitStack() as reading:
        reading.enter_context(failing("cannot read addresses and routes of the pod"))
        known = {family: routes.every(pod, family) for family in (4, 6)}
        present = {family: frozenset(addresses.of(pod, index, family)) for family in (4, 6)}
    for item in result.ips:
        if item.address not in present[item.address.version]:
            raise _missing(f"address '{item.address}'", ifname)
        if not any(_to(route, item.address.network) for route in known[item.address.version]):
            raise _missing(f"a route to '{item.address.network}'", ifname)
    for route in result.routes:
        if not any(_matches(found, route) for found in known[route.dst.version]):
            raise _missing(f"route '{route.dst}'", ifname)


def _to(found: Standing, network: object) -> bool:
    return found.dst == network and found.table == MAIN_TABLE


def _matches(found: Standing, route: Route) -> bool:
    if found.dst != route.dst or found.table != (route.table or MAIN_TABLE):
        return False
    anywhere = route.gw is None or route.dst.prefixlen == 0  # a default route may have been changed by a later plugin
    return anywhere or any(gateway == route.gw for _, gateway in found.hops)


def _missing(what: str, ifname: IfName) -> CniError:
    return unconfirmed(f"interface {ifname!r}", f"{what} is missing")
