# SPDX-License-Identifier: Apache-2.0
"""Pods on a bridge of the node: each gets a cable whose near end is a port of it.

The bridge stays when the last pod goes. Keys that are not carried out yet (masquerading, VLANs, the spoof check, port
isolation) are refused, never ignored.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from delegates import _arguments, _cable, _gateway, _interface, _ipam, _program, _skeleton, _text, _undo
from delegates._call import Body, Call, Pod, Visible
from delegates._ipam import Ipam
from delegates._skeleton import Delegate
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.cni.names import interface_name
from metacni.cni.result import Dns, Interface, Result
from metacni.netns import devices
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

DEFAULT: Final = "cni0"
PORT_PATIENCE: Final = 2.55
"""Seconds for a port to become operational (E32)."""

_KEYS: Final = frozenset(
    {
        "bridge",
        "isgateway",
        "isdefaultgateway",
        "forceaddress",
        "mtu",
        "hairpinmode",
        "promiscmode",
        "enabledad",
        "disablecontainerinterface",
        "ipam",
        "dns",
        "ipmasq",
        "ipmasqbackend",
        "vlan",
        "vlantrunk",
        "preservedefaultvlan",
        "macspoofchk",
        "portisolation",
    }
)  # fmt: skip - E21
_LATER: Final = ("ipMasq", "macspoofchk", "portIsolation")
_CAPABILITIES: Final = frozenset({"mac", "ips", "ipranges"})
_MTU: Final = range(68, 65536)
_VLAN: Final = range(4095)
_CONTAINER: Final = 2  # the index of the pod's interface in the result (E31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    bridge: str = DEFAULT
    gateway: bool = False
    default_gateway: bool = False
    force_address: bool = False
    mtu: int = 0
    hairpin: bool = False
    promiscuous: bool = False
    detect_duplicates: bool = False
    container_down: bool = False
    mac: str = ""
    dns: Dns | None = None
    ipam: Ipam | None = None


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration, the IPAM's part too (E22).

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    default_gateway = keys.flag(body, "isDefaultGateway")
    conf = Conf(
        bridge=_bridge_name(keys.text(body, "bridge", DEFAULT)),
        gateway=keys.flag(body, "isGateway") or default_gateway,
        default_gateway=default_gateway,
        force_address=keys.flag(body, "forceAddress"),
        mtu=_mtu(keys.integer(body, "mtu") or 0),
        hairpin=keys.flag(body, "hairpinMode"),
        promiscuous=keys.flag(body, "promiscMode"),
        detect_duplicates=keys.flag(body, "enabledad"),
        container_down=keys.flag(body, "disableContainerInterface"),
        mac=_mac(body, environment),
        dns=_dns(body),
        ipam=_ipam.parse(body, environment, version),
    )
    vlan = keys.integer(body, "vlan") or 0
    if vlan not in _VLAN:
        raise CniError(Code.CONFIG, f"cannot use key 'vlan': {vlan} is not in 0-4094")
    if conf.hairpin and conf.promiscuous:
        raise CniError(Code.CONFIG, "cannot use key 'hairpinMode': 'promiscMode' is set, too")
    if conf.ipam and conf.container_down:
        raise CniError(Code.CONFIG, "cannot use key 'ipam': 'disableContainerInterface' is set, too")
    return conf


def parse_loosely(body: Body) -> Conf:
    """Read which IPAM to give the addresses back to."""
    return Conf(ipam=_ipam.parse_loosely(body))


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do.

    Raises:
        CniError: as `parse`.
    """
    key = _skeleton.undeclared(body, _KEYS)
    if key:
        return f"key {key!r} ({describe(body[key])}) is not known"
    for key in _LATER:
        if keys.flag(body, key):
            return f"key {key!r} (true) is not carried out"
    vlan, trunk = keys.integer(body, "vlan"), keys.items(body, "vlanTrunk")
    if vlan:
        return f"key 'vlan' ({vlan}) is not carried out"
    if trunk is not None:  # an empty one, too, makes the bridge filter
        return f"key 'vlanTrunk' ({describe(trunk)}) is not carried out"
    return _arguments.undeclared(body, _CAPABILITIES) or _ipam.declines(body, visible)


def add(call: Call[Conf]) -> Result:
    """Attach the pod; when a step fails, all that was done for it is undone. The bridge is everybody's and stays."""
    conf = call.conf
    with call.edges.host() as host, ExitStack() as undo:
        bridge = _ensure_bridge(call, host)
        near = _cable.lay(call, host, undo, master=bridge.index, mtu=conf.mtu, mac=conf.mac)
        if conf.hairpin:
            with failing(f"cannot set hairpin mode of {near.name!r}"):
                devices.set_hairpin(host, near.index)
        leased = _ipam.lease(call, conf.ipam, undo) if conf.ipam else Result()
        undo.callback(_undo.link, host, near.name)  # before the addresses are given back: somebody may get them at once
        result = _planned(conf, leased)
        near, mac = _set_up_pod(call, host, near, result)
        if conf.gateway:
            _gateway.ensure(
                host, bridge, result.ips, settings=call.edges.sysctls,
                force=conf.force_address, detect_duplicates=conf.detect_duplicates,
            )  # fmt: skip
        interfaces = _read_back(host, bridge, near)
        undo.pop_all()
    container = Interface(name=call.environment.ifname, mac=mac, sandbox=call.environment.netns)
    return replace(result, interfaces=(*interfaces, container))


def check(call: Call[Conf]) -> None:
    """Compare the attachment with what the ADD reported (E36, less what others may change: E37)."""
    result = call.previous()
    if call.conf.ipam:
        _ipam.check(call, call.conf.ipam)
    container = _reported(call, result)
    with call.edges.host() as host, call.open_pod() as pod:
        with failing("cannot look at the links"):
            bridge = devices.find(host, call.conf.bridge)
            far = devices.find(pod.links, call.environment.ifname)
            near = devices.at(host, far.peer) if far is not None else None
        _check_bridge(call, bridge, result)
        _check_cable(container, far, near, bridge, result)
        if far is not None:
            _interface.check(pod.links, far.index, call.environment.ifname, result)


def delete(call: Call[Conf]) -> None:
    """Take the cable away, then give the addresses back; what is gone is fine (E35)."""
    if call.pod is not None:
        with call.open_pod() as pod, failing(f"cannot delete interface {call.environment.ifname!r}"):
            far = devices.find(pod.links, call.environment.ifname)
            if far is not None:
                devices.delete(pod.links, far.index)
    if call.conf.ipam:
        _ipam.release(call, call.conf.ipam)


def status(call: Call[Conf]) -> None:
    """Whether there are addresses (E16)."""
    if call.conf.ipam:
        _ipam.status(call, call.conf.ipam)


def gc(call: Call[Conf]) -> None:
    """Take away cables and addresses of attachments that are not valid any more (E17)."""
    with _undo.Failures() as failures:
        with failures.collected(), call.edges.host() as host:
            _cable.remove_others(host, call.network, call.valid)
        with failures.collected():
            if call.conf.ipam:
                _ipam.gc(call, call.conf.ipam)


def _bridge_name(text: str) -> str:
    try:
        return interface_name(text)
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use key 'bridge': {error.msg}") from None


def _mtu(value: int) -> int:
    if value and value not in _MTU:
        raise CniError(Code.CONFIG, f"cannot use key 'mtu': {value} is not in {_MTU[0]}-{_MTU[-1]}")
    return value


def _mac(body: Body, environment: Environment) -> str:
    """The strongest request for a MAC (E18)."""
    _arguments.require_known(environment, _arguments.KNOWN)
    asked = _arguments.single(body, environment, "MAC", "mac")
    return _text.mac(asked[-1].where, asked[-1].text, asked[-1].code) if asked else ""


def _dns(body: Body) -> Dns | None:
    """The network's own resolver settings; None when no field is set, then the IPAM's count (E5)."""
    given = keys.mapping(body, "dns") or {}
    dns = Dns(
        nameservers=keys.texts(given, "nameservers"),
        domain=keys.text(given, "domain"),
        search=keys.texts(given, "search"),
        options=keys.texts(given, "options"),
    )
    lists = any(keys.find(given, key) is not None for key in ("nameservers", "search", "options"))
    return dns if lists or dns.domain else None


def _ensure_bridge(call: Call[Conf], host: Netlink) -> Device:
    """The bridge, made when it is not there; another ADD may be doing the same (E26)."""
    conf = call.conf
    with failing(f"cannot set up bridge {conf.bridge!r}"):
        bridge = devices.find(host, conf.bridge)
        if bridge is None:
            with failing(f"cannot create bridge {conf.bridge!r}", fine=FileExistsError):
                devices.create_bridge(host, conf.bridge, conf.mtu)
            bridge = devices.find(host, conf.bridge)
        if bridge is None or bridge.kind != "bridge":
            what = "it is gone again" if bridge is None else "a link of that name is no bridge"
            raise CniError(Code.CONFIG, f"cannot use bridge {conf.bridge!r}: {what}")
        if conf.promiscuous and not bridge.promiscuous:
            devices.set_promiscuous(host, bridge.index)
        _cable.ignore_advertisements(call.edges.sysctls, conf.bridge)
        if not bridge.up:
            devices.bring_up(host, bridge.index)
    return bridge


def _planned(conf: Conf, leased: Result) -> Result:
    """What the IPAM gave, completed by what the network asks for (E4, E24)."""
    result = replace(leased, ips=tuple(replace(item, interface=_CONTAINER) for item in leased.ips))
    if conf.gateway:
        result = _gateway.with_gateways(result)
    if conf.default_gateway:
        result = _gateway.with_default_routes(result)
    return replace(result, dns=conf.dns) if conf.dns else result


def _set_up_pod(call: Call[Conf], host: Netlink, near: Device, result: Result) -> tuple[Device, str]:
    """Set up the pod's end; the near one when frames pass, and the far one's MAC, as the kernel has them."""
    ifname = call.environment.ifname
    with call.open_pod(*(_interface.settings(ifname, result) if call.conf.ipam else ())) as pod:
        far = _far_end(pod, ifname, near)
        if call.conf.ipam:
            _interface.configure(
                pod, far.index, ifname, result, detect_duplicates=call.conf.detect_duplicates
            )  # fmt: skip
        elif not call.conf.container_down:
            with failing(f"cannot bring up interface {ifname!r}"):
                devices.bring_up(pod.links, far.index)
        if not call.conf.container_down:
            near = _interface.wait_until_operational(host, near.index, near.name, PORT_PATIENCE)
        if call.conf.ipam:
            _interface.announce(pod, far, ifname)
    return near, far.mac


def _far_end(pod: Pod, ifname: str, near: Device) -> Device:
    with failing(f"cannot look at interface {ifname!r}"):
        far = devices.find(pod.links, ifname)
    if far is None or far.peer != near.index:
        raise CniError(Code.IO, f"cannot set up interface {ifname!r}: it is gone, or another took its name")
    return far


def _read_back(host: Netlink, bridge: Device, near: Device) -> tuple[Interface, Interface]:
    """Bridge and near end as they are in the end: a bridge's MAC changes with its first port (E31)."""
    with failing(f"cannot look at bridge {bridge.name!r}"):
        bridge = devices.at(host, bridge.index) or bridge
    return Interface(name=bridge.name, mac=bridge.mac), Interface(name=near.name, mac=near.mac)


def _reported(call: Call[Conf], result: Result) -> Interface:
    """The pod's interface in the ADD's result, in the very namespace of this call (E14)."""
    for item in result.interfaces:
        if item.name == call.environment.ifname and item.sandbox == call.environment.netns:
            return item
    named = f"interface {call.environment.ifname!r} in {call.environment.netns!r}"
    raise CniError(Code.CONFIG, f"cannot check the attachment: prevResult has no {named}")


def _check_bridge(call: Call[Conf], bridge: Device | None, result: Result) -> None:
    conf = call.conf
    if bridge is None or bridge.kind != "bridge":
        raise _wrong(f"bridge {conf.bridge!r}", "it is gone" if bridge is None else "it is no bridge")
    reported = next((item for item in result.interfaces if item.name == conf.bridge and not item.sandbox), None)
    if reported is None:
        raise CniError(Code.CONFIG, f"cannot check the attachment: prevResult has no bridge {conf.bridge!r}")
    if conf.gateway and reported.mac and reported.mac.lower() != bridge.mac:
        raise _wrong(f"bridge {conf.bridge!r}", f"its MAC is {bridge.mac}, not {reported.mac}")
    if conf.promiscuous and not bridge.promiscuous:
        raise _wrong(f"bridge {conf.bridge!r}", "it is not promiscuous")


def _check_cable(
    container: Interface, far: Device | None, near: Device | None, bridge: Device | None, result: Result
) -> None:
    what = f"interface {container.name!r}"
    if far is None or far.kind != "veth":
        raise _wrong(what, "it is gone" if far is None else "it is no veth")
    if container.mac and container.mac.lower() != far.mac:
        raise _wrong(what, f"its MAC is {far.mac}, not {container.mac}")
    if near is None or near.kind != "veth" or near.peer != far.index:
        raise _wrong(what, "its end on the node is gone")
    if bridge is None or near.master != bridge.index:
        raise _wrong(what, f"its end {near.name!r} on the node is no port of the bridge")
    reported = next((item for item in result.interfaces if item.name == near.name and not item.sandbox), None)
    if reported is None:
        raise _wrong(what, f"its end {near.name!r} on the node is not the reported one")
    if reported.mac and reported.mac.lower() != near.mac:
        raise _wrong(f"interface {near.name!r}", f"its MAC is {near.mac}, not {reported.mac}")


def _wrong(what: str, cause: str) -> CniError:
    return CniError(Code.INTERNAL, f"cannot confirm {what}: {cause}")


DELEGATE: Final = Delegate(
    name="bridge",
    about="pods on a bridge of the node",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    delete=delete,
    status=status,
    gc=gc,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
