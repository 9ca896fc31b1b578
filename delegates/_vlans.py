# SPDX-License-Identifier: Apache-2.0
"""VLANs of a bridge's ports: which ones a configuration wants, giving them to a port, and a leg of the node's in one.

A bridge that was there before keeps its way: if it does not filter, the VLANs have no effect (E27), as ever. Must not
make a bridge.
"""

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from delegates import _cable, _macs, _text, _undo
from delegates._call import Body
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.names import interface_name
from metacni.netns import bridges, devices
from metacni.netns.bridges import VLANS, Leg
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

KEYS: Final = frozenset({"vlan", "vlantrunk", "preservedefaultvlan"})
"""What `parse` and `declines` read, in lower case."""

_TRUNK_KEYS: Final = frozenset({"id", "minid", "maxid"})
_NATIVE: Final = 1  # of a trunk beside which no VLAN is named (E28)
_TRIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Vlans:
    """The VLANs of a port."""

    native: int = 0
    """Of frames without a tag; 0: nothing is said."""
    tagged: frozenset[int] = frozenset()
    filtering: bool = False
    """Whether a bridge that is made now is to look at VLANs."""
    keep_default: bool = False


def parse(body: Body) -> Vlans:
    """The VLANs that a configuration wants (E22).

    Raises:
        CniError: code 6, a wrong JSON type; code 7, an id that cannot be.
    """
    native, trunk = keys.integer(body, "vlan") or 0, keys.items(body, "vlanTrunk")
    if native and native not in VLANS:
        raise CniError(Code.CONFIG, f"cannot use key 'vlan': {native} is not in 0-{VLANS[-1]}")
    tagged = [vlan for at, entry in enumerate(_text.objects(body, "vlanTrunk")) for vlan in _entry(at, entry)]
    return Vlans(
        native=native,
        tagged=frozenset(tagged),
        filtering=bool(native) or trunk is not None,
        keep_default=keys.flag(body, "preserveDefaultVlan"),
    )


def declines(body: Body) -> str | None:
    """Why the VLANs are better left to whichever version of the reference stands on this node (E29, decision 5).

    Raises:
        CniError: as `parse`.
    """
    vlans = parse(body)
    for at, entry in enumerate(_text.objects(body, "vlanTrunk")):
        key = _text.unknown(entry, _TRUNK_KEYS)
        if key:
            return f"key 'vlanTrunk[{at}].{key}' ({describe(entry[key])}) is not known"
    if (vlans.native or vlans.tagged) and keys.find(body, "preserveDefaultVlan") is None:
        return "key 'preserveDefaultVlan' is missing, whose default depends on the version of the plugin"
    return None


def leg_name(bridge: str, vlans: Vlans) -> str:
    """What the node's leg in the native VLAN is called (E30).

    Raises:
        CniError: code 7, no link can have that name.
    """
    name = f"{bridge}.{vlans.native}"
    try:
        return interface_name(name)
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use keys 'bridge' and 'vlan' for a gateway: {error.msg}") from None


def give(host: Netlink, port: Device, vlans: Vlans) -> None:
    """Put a port into its VLANs (E28).

    Raises:
        CniError: code 5, the kernel refuses.
    """
    if not (vlans.native or vlans.tagged):
        return
    hint = "does the kernel's bridge filter VLANs?"
    with failing(f"cannot set the VLANs of port {port.name!r} of the bridge", hint=hint):
        if not vlans.keep_default:
            bridges.remove_vlans(host, port.index)
        if vlans.native:
            bridges.add_native_vlan(host, port.index, vlans.native)
        if vlans.tagged:
            bridges.add_vlans(host, port.index, vlans.tagged)  # tagged wins where both name one
        if not vlans.native:
            bridges.add_native_vlan(host, port.index, _NATIVE)


def ensure_leg(host: Netlink, bridge: Device, vlans: Vlans, settings: Path) -> Device:
    """The node's leg in the native VLAN, made when it is not there; it stays, as the bridge does.

    Raises:
        CniError: code 5, the kernel refuses; code 11, no port gets a name.
    """
    name = leg_name(bridge.name, vlans)
    for _ in range(_TRIES):
        with failing(f"cannot create link {name!r}"):
            leg = devices.find(host, name)
            if leg is not None:
                if not leg.up:
                    devices.bring_up(host, leg.index)
                return leg
            with failing(f"cannot create link {name!r}", fine=FileExistsError):  # another ADD was quicker
                _make_leg(host, bridge, name, vlans, settings)
    raise CniError(Code.TRY_AGAIN, f"cannot create link {name!r}: it comes and goes")


def _make_leg(host: Netlink, bridge: Device, name: str, vlans: Vlans, settings: Path) -> None:
    port_name = f"veth{secrets.token_hex(4)}"
    with ExitStack() as undo:
        leg = Leg(
            port_name=port_name, name=name, bridge=bridge.index, mtu=bridge.mtu,
            port_mac=_macs.random(), mac=_macs.random(),
        )  # fmt: skip
        bridges.create_leg(host, leg)
        undo.callback(_undo.link, host, port_name)
        port = devices.find(host, port_name)
        if port is None:
            raise CniError(Code.IO, f"cannot create link {name!r}: its end {port_name!r} on the bridge is gone")
        give(host, port, Vlans(native=vlans.native, keep_default=vlans.keep_default))
        for end in (port_name, name):
            _cable.ignore_advertisements(settings, end)
        undo.pop_all()


def _entry(at: int, entry: Mapping[str, Json]) -> list[int]:
    """The ids of one entry of a trunk: a single one, a range, or both."""
    first, last, single = (_id(at, entry, key) for key in ("minID", "maxID", "id"))
    if (first is None) != (last is None):
        there, missing = ("minID", "maxID") if last is None else ("maxID", "minID")
        raise CniError(Code.CONFIG, f"cannot use key 'vlanTrunk[{at}].{there}': {missing!r} is missing")
    found = [] if single is None else [single]
    if first is not None and last is not None:
        if first > last:
            raise CniError(Code.CONFIG, f"cannot use key 'vlanTrunk[{at}].minID': {first} is above 'maxID', {last}")
        found += range(first, last + 1)
    return found


def _id(at: int, entry: Mapping[str, Json], key: str) -> int | None:
    value = keys.integer(entry, key)
    if value is not None and value not in VLANS:
        raise CniError(Code.CONFIG, f"cannot use key 'vlanTrunk[{at}].{key}': {value} is not in 1-{VLANS[-1]}")
    return value
