# SPDX-License-Identifier: Apache-2.0
"""Pods that get a link of the node itself, most often a NIC or a function of one, for as long as they live.

It is never deleted, nor put in the group by which a pod's links are: it goes back.
"""

import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from delegates import _arguments, _hardware, _interface, _ipam, _keys, _lent, _program, _skeleton, _undo
from delegates._call import Body, Call, Pod, Visible
from delegates._hardware import Hardware
from delegates._ipam import Ipam
from delegates._skeleton import Delegate
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.cni.result import Dns, Interface, Result
from metacni.netns import devices
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

_KEYS: Final = frozenset({"device", "hwaddr", "kernelpath", "pcibusid", "dpdkmode", "ipam", "dns", "enabledad"})  # E49
_CAPABILITIES: Final = frozenset({"deviceid", "ips", "ipranges"})
_ADDRESS: Final = re.compile(r"[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4,18}|([0-9a-f]{4}\.){2,9}[0-9a-f]{4}")
_LENGTHS: Final = (6, 8, 20)  # Ethernet, EUI-64, InfiniBand


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration; the first of the ways to name a device that is set counts."""

    device: str = ""
    hardware_address: str = ""
    kernel_path: str = ""
    pci: str = ""
    device_id: str = ""
    """What the runtime has allocated: a PCI address or the name of an auxiliary device, instead of `pci`."""
    userspace: bool = False
    detect_duplicates: bool = False
    dns: Dns | None = None
    ipam: Ipam | None = None


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration, the IPAM's part too.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    given = keys.mapping(body, "runtimeConfig") or {}
    path = keys.text(body, "kernelpath")
    conf = Conf(
        device=_device(keys.text(body, "device")),
        hardware_address=_hardware_address(keys.text(body, "hwaddr")),
        kernel_path=_hardware.kernel_path("key 'kernelpath'", path) if path else "",
        pci=_hardware.device_name("key 'pciBusID'", keys.text(body, "pciBusID")),
        device_id=_hardware.device_name("key 'runtimeConfig.deviceID'", keys.text(given, "deviceID")),
        userspace=keys.flag(body, "dpdkMode"),
        detect_duplicates=keys.flag(body, "enabledad"),
        dns=_keys.dns(body),
        ipam=_ipam.parse(body, environment, version),
    )
    if not any((conf.device, conf.hardware_address, conf.kernel_path, conf.pci, conf.device_id)):
        hint = "one of 'device', 'hwaddr', 'kernelpath', 'pciBusID', or the capability 'deviceID'"
        raise CniError(Code.CONFIG, "cannot use the configuration: it names no device", hint)
    return conf


def parse_loosely(body: Body) -> Conf:
    """Read which IPAM to give the addresses back to; the device itself says the rest."""
    return Conf(ipam=_ipam.parse_loosely(body))


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do.

    Raises:
        CniError: as `parse`.
    """
    if unknown := _skeleton.undeclared(body, _KEYS):
        return unknown
    given = keys.mapping(body, "runtimeConfig") or {}
    for key, found in (
        ("kernelpath", keys.text(body, "kernelpath")),
        ("pciBusID", keys.text(body, "pciBusID")),
        ("runtimeConfig.deviceID", keys.text(given, "deviceID")),
    ):
        if found and not visible(str(_hardware.SYSFS)):
            return f"path '{_hardware.SYSFS}', where key {key!r} is looked up, is not mounted in the agent"
    return _arguments.undeclared(body, _CAPABILITIES) or _ipam.declines(body, visible)


def add(hardware: Hardware, call: Call[Conf]) -> Result:
    """Lend the device to the pod; when a step fails, it is back on the node as it was."""
    conf, environment = call.conf, call.environment
    if _is_userspaces(hardware, conf):
        with ExitStack() as undo:
            result = _planned(conf, _ipam.lease(call, conf.ipam, undo) if conf.ipam else Result())
            undo.pop_all()
        return replace(result, interfaces=(Interface(name=environment.ifname, sandbox=environment.netns),))
    with call.edges.host() as host, call.open_pod() as pod, ExitStack() as undo:
        _lent.gather(call, host)
        link = _find(hardware, conf, host)
        lent = _lent.lend(call, host, pod, link, undo)
        with failing(f"cannot bring up interface {environment.ifname!r}"):
            devices.bring_up(pod.links, lent.index)
        leased = Result()
        if conf.ipam:
            leased = _ipam.lease(call, conf.ipam, undo)  # here, as a DHCP client needs the link
            undo.callback(_lent.bring_back, call, host, pod)  # before the addresses: somebody may get them at once
        result = _planned(conf, leased)
        if conf.ipam:
            _configure(call, lent, result)
        undo.pop_all()
    container = Interface(name=environment.ifname, mac=lent.mac, sandbox=environment.netns)
    return replace(result, interfaces=(container,))


def check(hardware: Hardware, call: Call[Conf]) -> None:
    """Compare the attachment with what the ADD reported."""
    result = call.previous()
    if call.conf.ipam:
        _ipam.check(call, call.conf.ipam)
    if _is_userspaces(hardware, call.conf):
        return
    container = _interface.reported(call, result)
    with call.open_pod() as pod:
        lent = _interface.standing(pod, container)
        _interface.check(pod.links, lent.index, call.environment.ifname, result)


def delete(call: Call[Conf]) -> None:
    """Have the device on the node again as it was, then give the addresses back; what is gone is fine (E51)."""
    with call.edges.host() as host:
        _lent.give_back(call, host)
    if call.conf.ipam:
        _ipam.release(call, call.conf.ipam)


def status(call: Call[Conf]) -> None:
    """Whether there are addresses (E16)."""
    if call.conf.ipam:
        _ipam.status(call, call.conf.ipam)


def gc(call: Call[Conf]) -> None:
    """Restore devices that the kernel has brought home from dead pods, and give back addresses (E17)."""
    with _undo.Failures() as failures:
        with failures.collected(), call.edges.host() as host:
            _lent.restore_others(host, call.network, call.valid)
        with failures.collected():
            if call.conf.ipam:
                _ipam.gc(call, call.conf.ipam)


def _device(text: str) -> str:
    """A link's name, or an alternative one."""
    if len(text.encode()) > _lent.MAX_MARK or "/" in text or not text.isprintable() or text != text.strip():
        raise CniError(Code.CONFIG, f"cannot use key 'device': {describe(text)} cannot be the name of a link")
    return text


def _hardware_address(text: str) -> str:
    """In the kernel's spelling; an InfiniBand link's is longer than a MAC."""
    if not text:
        return ""
    digits = re.sub(r"[:.-]", "", text.lower())
    if not _ADDRESS.fullmatch(text.lower()) or len(digits) // 2 not in _LENGTHS or not any(bytes.fromhex(digits)):
        raise CniError(Code.CONFIG, f"cannot use key 'hwaddr': {describe(text)} cannot be a link's address")
    return bytes.fromhex(digits).hex(":")


def _pci(hardware: Hardware, conf: Conf) -> str:
    """The PCI address, if the device is named by one: the runtime's beats the configuration's (E49)."""
    if not conf.device_id:
        return conf.pci
    if hardware.has_pci(conf.device_id):
        return conf.device_id
    if hardware.has_auxiliary(conf.device_id):
        return ""
    what = f"key 'runtimeConfig.deviceID' ({describe(conf.device_id)})"
    raise CniError(Code.CONFIG, f"cannot use {what}: the node has no such PCI or auxiliary device")


def _is_userspaces(hardware: Hardware, conf: Conf) -> bool:
    """Whether a program in the pod drives the device by itself, so that there is no link (E50)."""
    pci = _pci(hardware, conf)
    return hardware.is_userspaces(pci) if pci else conf.userspace


def _find(hardware: Hardware, conf: Conf, host: Netlink) -> Device:
    """The link that is named; one that came home under another name is restored first.

    Raises:
        CniError: code 7, the node has none.
    """
    with failing("cannot look at the links of the node"):
        found = _named(hardware, conf, host)
        astray = found if found is not None and _lent.is_lent(found) else None
        if found is None and conf.device:
            astray = _home_again(host, conf.device)
        if astray is not None:
            _lent.restore(host, astray)
            found = devices.at(host, astray.index)
    if found is None:
        hint = "it may be in another pod"
        raise CniError(Code.CONFIG, f"cannot use {_name(conf)}: the node has no such link", hint)
    return found


def _named(hardware: Hardware, conf: Conf, host: Netlink) -> Device | None:
    if conf.device:
        return devices.find(host, conf.device)
    if conf.hardware_address:
        return next((link for link in devices.every(host) if link.mac == conf.hardware_address), None)
    if conf.kernel_path:
        return devices.find(host, hardware.at(conf.kernel_path))
    pci = _pci(hardware, conf)
    return devices.find(host, hardware.of_pci(pci) if pci else hardware.of_auxiliary(conf.device_id))


def _home_again(host: Netlink, name: str) -> Device | None:
    """A link that the kernel has brought home from a dead pod, under the pod's name for it, and switched off."""
    return next((link for link in devices.every(host) if link.alias == name and not link.up), None)


def _name(conf: Conf) -> str:
    ways = (
        ("device", conf.device),
        ("hwaddr", conf.hardware_address),
        ("kernelpath", conf.kernel_path),
        ("runtimeConfig.deviceID", conf.device_id),
        ("pciBusID", conf.pci),
    )
    return next(f"key {key!r} ({describe(value)})" for key, value in ways if value)


def _planned(conf: Conf, leased: Result) -> Result:
    result = replace(leased, ips=tuple(replace(item, interface=0) for item in leased.ips))
    return replace(result, dns=conf.dns) if conf.dns else result


def _configure(call: Call[Conf], lent: Device, result: Result) -> None:
    ifname = call.environment.ifname
    with call.open_pod(*_interface.settings(ifname, result)) as pod:
        _interface.configure(pod, lent.index, ifname, result, detect_duplicates=call.conf.detect_duplicates)
        _announce(pod, lent)


def _announce(pod: Pod, lent: Device) -> None:
    """Tell the neighbours, if the driver lets us: some take no MAC, not even their own, while they run."""
    try:
        devices.set_mac(pod.links, lent.index, lent.mac)
    except OSError as error:
        _undo.log.debug("cannot announce the addresses of %r: %s", lent.name, error)


def over(hardware: Hardware) -> Delegate[Conf]:
    """The plugin, for the devices of this tree."""
    return Delegate(
        name="host-device",
        about="pods with a link of the node's own",
        parse=parse,
        parse_loosely=parse_loosely,
        add=partial(add, hardware),
        check=partial(check, hardware),
        delete=delete,
        status=status,
        gc=gc,
        declines=declines,
    )


DELEGATE: Final = over(Hardware())

if __name__ == "__main__":
    _program.main(DELEGATE)
