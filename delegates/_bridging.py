# SPDX-License-Identifier: Apache-2.0
"""A bridge of the node and a pod's port of it: what a configuration wants of the two, making it so, and looking again.

The bridge is everybody's: it is made when it is not there, and stays. Must not know what goes over it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from delegates import _cable, _interface, _keys, _macs, _vlans
from delegates._call import Body
from delegates._vlans import Vlans
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.names import interface_name
from metacni.cni.result import Interface, Result
from metacni.netns import bridges, devices
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

KEYS: Final = _vlans.KEYS | {"bridge", "mtu", "hairpinmode", "promiscmode", "portisolation"}
"""What `parse` and `declines` read, in lower case."""

DEFAULT: Final = "cni0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What bridge and port are to be like."""

    bridge: str = DEFAULT
    mtu: int = 0
    """Of a bridge that is made now, and of the cable."""
    hairpin: bool = False
    promiscuous: bool = False
    isolated: bool = False
    vlans: Vlans = Vlans()  # noqa: RUF009 - frozen, so one for all is fine


def parse(body: Body) -> Wish:
    """What a configuration wants.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    wish = Wish(
        bridge=_name(keys.text(body, "bridge", DEFAULT)),
        mtu=_keys.mtu(body),
        hairpin=keys.flag(body, "hairpinMode"),
        promiscuous=keys.flag(body, "promiscMode"),
        isolated=keys.flag(body, "portIsolation"),
        vlans=_vlans.parse(body),
    )
    if wish.hairpin and wish.promiscuous:
        raise CniError(Code.CONFIG, "cannot use key 'hairpinMode': 'promiscMode' is set, too")
    return wish


def ensure(host: Netlink, wish: Wish, settings: Path) -> Device:
    """The bridge, made when it is not there; another ADD may be doing the same (E26).

    Raises:
        CniError: code 7, a link of that name is none; code 5, the kernel refuses.
    """
    with failing(f"cannot set up bridge {wish.bridge!r}"):
        bridge = devices.find(host, wish.bridge)
        if bridge is None:
            with failing(f"cannot create bridge {wish.bridge!r}", fine=FileExistsError):
                devices.create_bridge(
                    host, wish.bridge, wish.mtu, mac=_macs.random(), filtering=wish.vlans.filtering
                )  # fmt: skip
            bridge = devices.find(host, wish.bridge)
        if bridge is None or bridge.kind != "bridge":
            what = "it is gone again" if bridge is None else "a link of that name is no bridge"
            raise CniError(Code.CONFIG, f"cannot use bridge {wish.bridge!r}: {what}")
        if wish.promiscuous and not bridge.promiscuous:
            devices.set_promiscuous(host, bridge.index)
        _cable.ignore_advertisements(settings, wish.bridge)
        if not bridge.up:
            devices.bring_up(host, bridge.index)
    return bridge


def tune_port(host: Netlink, wish: Wish, near: Device) -> None:
    """Make a pod's port of the bridge what it is to be.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    if wish.hairpin or wish.isolated:
        with failing(f"cannot set up port {near.name!r} of the bridge"):
            bridges.tune_port(host, near.index, hairpin=wish.hairpin, isolated=wish.isolated)
    _vlans.give(host, near, wish.vlans)


def gateway_link(host: Netlink, wish: Wish, bridge: Device, settings: Path) -> Device:
    """Where the node is a gateway: the bridge itself, or the node's leg in the pods' VLAN (E30). Raises CniError."""
    return _vlans.ensure_leg(host, bridge, wish.vlans, settings) if wish.vlans.native else bridge


def read_back(host: Netlink, bridge: Device, near: Device) -> tuple[Interface, Interface]:
    """Bridge and near end as they are in the end: a bridge's MAC changes with its first port (E31)."""
    with failing(f"cannot look at bridge {bridge.name!r}"):
        bridge = devices.at(host, bridge.index) or bridge
    return Interface(name=bridge.name, mac=bridge.mac), Interface(name=near.name, mac=near.mac)


def check(bridge: Device | None, wish: Wish, result: Result, *, pinned: bool) -> Device:
    """The bridge, compared with the one that was reported.

    Args:
        bridge: as it is now.
        wish: what it was to be.
        result: of the ADD.
        pinned: whether its MAC is one that stays (E37).

    Raises:
        CniError: code 999, it is not what it was; code 7, it was not reported.
    """
    what = f"bridge {wish.bridge!r}"
    if bridge is None or bridge.kind != "bridge":
        raise _interface.unconfirmed(what, "it is gone" if bridge is None else "it is no bridge")
    reported = next((item for item in result.interfaces if item.name == wish.bridge and not item.sandbox), None)
    if reported is None:
        raise CniError(Code.CONFIG, f"cannot check the attachment: prevResult has no {what}")
    if pinned and reported.mac and reported.mac.lower() != bridge.mac:
        raise _interface.unconfirmed(what, f"its MAC is {bridge.mac}, not {reported.mac}")
    if wish.promiscuous and not bridge.promiscuous:
        raise _interface.unconfirmed(what, "it is not promiscuous")
    return bridge


def check_cable(bridge: Device, far: Device, near: Device | None, result: Result) -> Device:
    """The near end of a pod's cable, compared with the one that was reported.

    Raises:
        CniError: code 999, it is not what it was.
    """
    what = f"interface {far.name!r}"
    if far.kind != "veth":
        raise _interface.unconfirmed(what, "it is no veth")
    if near is None or near.kind != "veth" or near.peer != far.index:
        raise _interface.unconfirmed(what, "its end on the node is gone")
    if near.master != bridge.index:
        raise _interface.unconfirmed(what, f"its end {near.name!r} on the node is no port of the bridge")
    reported = next((item for item in result.interfaces if item.name == near.name and not item.sandbox), None)
    if reported is None:
        raise _interface.unconfirmed(what, f"its end {near.name!r} on the node is not the reported one")
    if reported.mac and reported.mac.lower() != near.mac:
        raise _interface.unconfirmed(f"interface {near.name!r}", f"its MAC is {near.mac}, not {reported.mac}")
    return near


def _name(text: str) -> str:
    try:
        return interface_name(text)
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use key 'bridge': {error.msg}") from None
