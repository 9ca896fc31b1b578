# SPDX-License-Identifier: Apache-2.0
"""Pods on a bridge of the node: each gets a cable whose near end is a port of it. The bridge stays when the last goes.

What bridge and port are like stands in `_bridging`, what packets may do in `_masquerade` and `_spoof`; here, the order.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from delegates import (
    _arguments,
    _bridging,
    _cable,
    _gateway,
    _interface,
    _ipam,
    _keys,
    _masquerade,
    _program,
    _skeleton,
    _spoof,
    _text,
    _undo,
    _vlans,
)
from delegates._bridging import Wish
from delegates._call import Body, Call, Visible
from delegates._ipam import Ipam
from delegates._skeleton import Delegate
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Dns, Interface, Result
from metacni.netns import devices
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

PORT_PATIENCE: Final = 2.55
"""Seconds for a port to become operational (E32)."""

_KEYS: Final = (
    frozenset(
        {
            "isgateway",
            "isdefaultgateway",
            "forceaddress",
            "enabledad",
            "disablecontainerinterface",
            "macspoofchk",
            "ipam",
            "dns",
        }
    )
    | _bridging.KEYS
    | _masquerade.KEYS
)  # fmt: skip - E21
_CAPABILITIES: Final = frozenset({"mac", "ips", "ipranges"})
_CONTAINER: Final = 2  # the index of the pod's interface in the result (E31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    wish: Wish = Wish()  # noqa: RUF009 - frozen, so one for all is fine
    gateway: bool = False
    default_gateway: bool = False
    force_address: bool = False
    detect_duplicates: bool = False
    container_down: bool = False
    masquerade: bool = False
    spoof_check: bool = False
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
        wish=_bridging.parse(body),
        gateway=keys.flag(body, "isGateway") or default_gateway,
        default_gateway=default_gateway,
        force_address=keys.flag(body, "forceAddress"),
        detect_duplicates=keys.flag(body, "enabledad"),
        container_down=keys.flag(body, "disableContainerInterface"),
        masquerade=_masquerade.parse(body),
        spoof_check=keys.flag(body, "macspoofchk"),
        mac=_mac(body, environment),
        dns=_keys.dns(body),
        ipam=_ipam.parse(body, environment, version),
    )
    if conf.ipam and conf.container_down:
        raise CniError(Code.CONFIG, "cannot use key 'ipam': 'disableContainerInterface' is set, too")
    if conf.ipam and conf.gateway and conf.wish.vlans.native:
        _vlans.leg_name(conf.wish.bridge, conf.wish.vlans)
    if conf.spoof_check:
        _spoof.require_short(environment)
    return conf


def parse_loosely(body: Body) -> Conf:
    """Read which IPAM to give the addresses back to."""
    return Conf(ipam=_ipam.parse_loosely(body))


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do.

    Raises:
        CniError: as `parse`.
    """
    return (
        _skeleton.undeclared(body, _KEYS)
        or _vlans.declines(body)
        or _masquerade.declines(body)
        or _arguments.undeclared(body, _CAPABILITIES)
        or _ipam.declines(body, visible)
    )


def add(call: Call[Conf]) -> Result:
    """Attach the pod; when a step fails, all that was done for it is undone. The bridge is everybody's and stays."""
    conf = call.conf
    with call.edges.host() as host, ExitStack() as undo:
        bridge = _bridging.ensure(host, conf.wish, call.edges.sysctls)
        near = _cable.lay(call, host, undo, master=bridge.index, mtu=conf.wish.mtu, mac=conf.mac)
        _bridging.tune_port(host, conf.wish, near)
        leased = _ipam.lease(call, conf.ipam, undo) if conf.ipam else Result()
        undo.callback(_undo.link, host, near.name)  # before the addresses are given back: somebody may get them at once
        result = _planned(conf, leased)
        near, mac = _set_up_pod(call, host, near, result)
        if conf.spoof_check:
            _spoof.add(call, host, near, mac, undo)
        legs = _ensure_gateway(call, host, bridge, result) if conf.gateway else ()
        if conf.masquerade and result.ips:
            _masquerade.add(call, host, [item.address for item in result.ips], undo)
        ends = _bridging.read_back(host, bridge, near)
        undo.pop_all()
    container = Interface(name=call.environment.ifname, mac=mac, sandbox=call.environment.netns)
    return replace(result, interfaces=(*ends, container, *legs))


def check(call: Call[Conf]) -> None:
    """Compare the attachment with what the ADD reported (E36, less what others may change: E37)."""
    conf, result = call.conf, call.previous()
    if conf.ipam:
        _ipam.check(call, conf.ipam)
    container = _interface.reported(call, result)
    with call.edges.host() as host, call.open_pod() as pod:
        far = _interface.standing(pod, container)
        with failing("cannot look at the links of the node"):
            bridge, near = devices.find(host, conf.wish.bridge), devices.at(host, far.peer)
        pinned = conf.gateway and not conf.wish.vlans.native
        bridge = _bridging.check(bridge, conf.wish, result, pinned=pinned)
        near = _bridging.check_cable(bridge, far, near, result)
        _interface.check(pod.links, far.index, call.environment.ifname, result)
        if conf.spoof_check:
            _spoof.check(call, host, near, far.mac)
        if conf.masquerade and conf.ipam:
            _masquerade.check(call, host, [item.address for item in result.ips])


def delete(call: Call[Conf]) -> None:
    """Take away the cable, the rules, then give the addresses back; what is gone is fine (E35).

    Rules are looked for in any case: the pod may be gone, the configuration edited (E20).
    """
    with _undo.Failures() as failures:
        with failures.collected():
            _cable.pull(call)
        with failures.collected(), failing("cannot reach the links of the node"), call.edges.host() as host:
            with failures.collected():
                _spoof.remove(call, host)
            _masquerade.remove(call, host)
        with failures.collected():
            if call.conf.ipam:
                _ipam.release(call, call.conf.ipam)


def status(call: Call[Conf]) -> None:
    """Whether there are addresses (E16)."""
    if call.conf.ipam:
        _ipam.status(call, call.conf.ipam)


def gc(call: Call[Conf]) -> None:
    """Take away cables, rules and addresses of attachments that are not valid any more (E17)."""
    with _undo.Failures() as failures:
        with failures.collected(), failing("cannot reach the links of the node"), call.edges.host() as host:
            with failures.collected():
                _cable.remove_others(host, call.network, call.valid)
            with failures.collected():
                _spoof.remove_stale(host)
            _masquerade.remove_others(call, host)
        with failures.collected():
            if call.conf.ipam:
                _ipam.gc(call, call.conf.ipam)


def _mac(body: Body, environment: Environment) -> str:
    """The strongest request for a MAC (E18)."""
    _arguments.require_known(environment, _arguments.KNOWN)
    asked = _arguments.single(body, environment, "MAC", "mac")
    return _text.mac(asked[-1].where, asked[-1].text, asked[-1].code) if asked else ""


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
        far = _cable.far_end(pod, ifname, near)
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


def _ensure_gateway(call: Call[Conf], host: Netlink, bridge: Device, result: Result) -> tuple[Interface, ...]:
    """Have the node be the pods' gateway; a leg of its own that it needs for that belongs to the result (E30)."""
    conf = call.conf
    if not result.ips:
        return ()
    link = _bridging.gateway_link(host, conf.wish, bridge, call.edges.sysctls)
    _gateway.ensure(
        host, link, result.ips, settings=call.edges.sysctls,
        force=conf.force_address, detect_duplicates=conf.detect_duplicates,
    )  # fmt: skip
    return () if link.index == bridge.index else (Interface(name=link.name, mac=link.mac),)


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
