# SPDX-License-Identifier: Apache-2.0
"""Pods on cables of their own to the node, which routes between them and has each pod's gateway address at its end.

Nothing else hangs on such a cable, so the pod reaches even its own subnet over the gateway.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network
from typing import Final, NamedTuple

from delegates import _arguments, _cable, _forwarding, _interface, _ipam, _keys, _masquerade, _program, _skeleton, _undo
from delegates._call import Body, Call, Visible
from delegates._ipam import Ipam
from delegates._skeleton import Delegate
from delegates._text import Ip, Network, Prefixed
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Dns, Interface, Result
from metacni.netns import addresses, exact
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink

PATIENCE: Final = 2.55
"""Seconds for each end of the cable to become operational: the kernel takes well under one millisecond."""

_KEYS: Final = frozenset({"mtu", "ipam", "dns", "enabledad"}) | _masquerade.KEYS  # E52
_CAPABILITIES: Final = frozenset({"ips", "ipranges"})
_CONTAINER: Final = 1  # the index of the pod's interface in the result


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    mtu: int = 0
    masquerade: bool = False
    detect_duplicates: bool = False
    dns: Dns | None = None
    ipam: Ipam | None = None
    """None only where there is something to take away: without addresses a cable like this leads nowhere."""


class _Pair(NamedTuple):
    """An address of the pod, and the node's that it is reached from."""

    address: Prefixed
    gateway: Ip


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration, the IPAM's part too.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    conf = Conf(
        mtu=_keys.mtu(body),
        masquerade=_masquerade.parse(body),
        detect_duplicates=keys.flag(body, "enabledad"),
        dns=_keys.dns(body),
        ipam=_ipam.parse(body, environment, version),
    )
    if conf.ipam is None:
        raise CniError(Code.CONFIG, "cannot use key 'ipam': it names no type, and a cable like this needs addresses")
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
        or _masquerade.declines(body)
        or _arguments.undeclared(body, _CAPABILITIES)
        or _ipam.declines(body, visible)
    )


def add(call: Call[Conf]) -> Result:
    """Attach the pod; when a step fails, all that was done for it is undone."""
    conf, ifname = call.conf, call.environment.ifname
    _cable.require_room(call)
    with call.edges.host() as host, ExitStack() as undo:
        leased = _ipam.lease(call, conf.ipam, undo) if conf.ipam else Result()
        pairs = _pairs(leased)
        result = _planned(conf, leased)
        _forwarding.switch_on(call.edges.sysctls, result.ips)
        near = _cable.lay(call, host, undo, master=0, mtu=conf.mtu, mac="")
        _cable.be_usable_at_once(call.edges.sysctls, near.name)
        far = _set_up_pod(call, near, result, pairs)
        for pair in pairs:
            _answer_for(host, near, pair)
        _interface.wait_until_operational(host, near.index, near.name, PATIENCE)
        if conf.masquerade:
            _masquerade.add(call, host, [pair.address for pair in pairs], undo)
        undo.pop_all()
    ends = Interface(name=near.name, mac=near.mac), Interface(name=ifname, mac=far.mac, sandbox=call.environment.netns)
    return replace(result, interfaces=ends)


def check(call: Call[Conf]) -> None:
    """Compare the attachment with what the ADD reported."""
    result = call.previous()
    if call.conf.ipam:
        _ipam.check(call, call.conf.ipam)
    container = _interface.reported(call, result)
    with call.open_pod() as pod:
        far = _interface.standing(pod, container)
        if far.kind != "veth":
            raise _interface.unconfirmed(f"interface {container.name!r}", "it is no veth")
        _interface.check(pod.links, far.index, call.environment.ifname, result)
    if call.conf.masquerade:
        with call.edges.host() as host:
            _masquerade.check(call, host, [item.address for item in result.ips])


def delete(call: Call[Conf]) -> None:
    """Take cable and rules away, then give the addresses back; what is gone is fine (E20)."""
    with _undo.Failures() as failures:
        with failures.collected():
            _cable.pull(call)
        with failures.collected(), call.edges.host() as host:
            _masquerade.remove(call, host)
    if call.conf.ipam:
        _ipam.release(call, call.conf.ipam)


def status(call: Call[Conf]) -> None:
    """Whether there are addresses (E16)."""
    if call.conf.ipam:
        _ipam.status(call, call.conf.ipam)


def gc(call: Call[Conf]) -> None:
    """Take away cables, rules and addresses of attachments that are not valid any more (E17)."""
    with _undo.Failures() as failures, call.edges.host() as host:
        with failures.collected():
            _cable.remove_others(host, call.network, call.valid)
        with failures.collected():
            _masquerade.remove_others(call, host)
        with failures.collected():
            if call.conf.ipam:
                _ipam.gc(call, call.conf.ipam)


def _pairs(leased: Result) -> list[_Pair]:
    """The addresses, if a pod can be reached by them.

    Raises:
        CniError: code 7.
    """
    found = []
    for item in leased.ips:
        what, gateway = f"cannot use address '{item.address}'", item.gateway
        if gateway is None:
            raise CniError(Code.CONFIG, f"{what}: it has no gateway, which is to be the node's end of the cable")
        if gateway.version != item.address.version:
            raise CniError(Code.CONFIG, f"{what}: its gateway '{gateway}' is of the other family")
        if item.address.version == 4 and item.address.network.num_addresses == 1:  # noqa: PLR2004 - IPv4
            raise CniError(Code.CONFIG, f"{what}: its prefix has no room for the gateway '{gateway}'")
        found.append(_Pair(item.address, gateway))
    return found


def _planned(conf: Conf, leased: Result) -> Result:
    result = replace(leased, ips=tuple(replace(item, interface=_CONTAINER) for item in leased.ips))
    return replace(result, dns=conf.dns) if conf.dns else result


def _set_up_pod(call: Call[Conf], near: Device, result: Result, pairs: Sequence[_Pair]) -> Device:
    """Addresses and routes as on any network; then each subnet by its gateway, for nobody else is on the cable."""
    ifname = call.environment.ifname
    with call.open_pod(*_interface.settings(ifname, result)) as pod:
        far = _cable.far_end(pod, ifname, near)
        _interface.configure(pod, far.index, ifname, result, detect_duplicates=call.conf.detect_duplicates)
        for network in dict.fromkeys(address.network for address, _ in pairs):
            with failing(f"cannot take the route to '{network}' off interface {ifname!r}", fine=ProcessLookupError):
                exact.delete_connected(pod.links, far.index, network)
        for dst, (scope, gateway, source) in _ways(pairs).items():
            with _once(f"cannot add route '{dst}' to interface {ifname!r}"):
                exact.add(pod.links, far.index, dst, scope=scope, gateway=gateway, source=source)
        return _interface.wait_until_operational(pod.links, far.index, ifname, PATIENCE)


def _ways(pairs: Sequence[_Pair]) -> dict[Network, tuple[int, Ip | None, Ip]]:
    """The gateways over the cable, the subnets over their gateways; several addresses may share either."""
    ways: dict[Network, tuple[int, Ip | None, Ip]] = {}
    for address, gateway in pairs:
        ways.setdefault(_alone(gateway), (exact.LINK, None, address.ip))
        ways.setdefault(address.network, (exact.EVERYWHERE, gateway, address.ip))
    return ways


@contextmanager
def _once(what: str) -> Iterator[None]:
    """Refuse what stands there already: packets would go, or come, by another link."""
    with failing(what):
        try:
            yield
        except FileExistsError as error:
            hint = "another network may have the same addresses"
            raise CniError(Code.CONFIG, f"{what}: there is one already", hint) from error


def _answer_for(host: Netlink, near: Device, pair: _Pair) -> None:
    """Have the node be the pod's gateway, and find the pod.

    Raises:
        CniError: code 7, the node has a route to this very address: the pod would never be reached.
    """
    gateway, pod = ip_interface(str(pair.gateway)), _alone(pair.address.ip)
    with failing(f"cannot add address '{gateway}' to link {near.name!r}", fine=FileExistsError):
        addresses.add(host, near.index, gateway, detect_duplicates=False)
    with _once(f"cannot add route '{pod}' to the node"):
        exact.add(host, near.index, pod, scope=exact.HOST)


def _alone(address: Ip) -> Network:
    return ip_network(str(address))


DELEGATE: Final = Delegate(
    name="ptp",
    about="pods on cables of their own to the node",
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
