# SPDX-License-Identifier: Apache-2.0
"""A link of the pod alone, most often on top of one of the node: made, found again, taken away; whatever its kind.

What macvlan, ipvlan, vlan and dummy have in common, so each of them is its keys and little more. Nothing of it stands
on the node, so nothing is left there. Must not read any key that only one of them has.
"""

import errno
import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from delegates import _arguments, _interface, _ipam, _keys, _skeleton, _undo
from delegates._call import Body, Call, Visible
from delegates._ipam import Ipam
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.names import IfName, interface_name
from metacni.cni.result import Dns, Interface, Result
from metacni.netns import addresses, devices, kinds, moves, routes
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.groups import GROUP
from metacni.netns.kinds import Dummy, Kind, Plan, Vlan
from metacni.netns.netlink import Netlink
from metacni.netns.routes import MAIN_TABLE

KEYS: Final = frozenset({"enabledad", "ipam", "dns"})
"""What all read; `enabledad` is ours, as the bridge has it."""
MASTERS: Final = frozenset({"master", "mtu", "linkincontainer"})
"""What those read that stand on another link."""

_IPV4: Final = 4
_INTERFACE: Final = 0  # the index of the link in the result (E40)
_MAKING: Final = {
    errno.EBUSY: "a link carries macvlans or ipvlans, never both",
    errno.EINVAL: "a link with a macvlan in mode passthru carries no other, and the mode wants one that carries none",
    errno.EOPNOTSUPP: "this kernel has no links of that kind, or the master cannot carry them",
}
_SETTING_UP: Final = {
    errno.EADDRINUSE: "another link on the master has that MAC",
    errno.ENETDOWN: "the master is down",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    kind: Kind = Dummy()  # noqa: RUF009 - frozen, so one for all is fine
    master: str = ""
    """Empty: the link of the default route."""
    in_container: bool = False
    """Whether the master is a link of the pod."""
    mtu: int = 0
    is_bounded: bool = True
    """Whether the MTU has to fit through the master."""
    is_mtu_kept: bool = False
    """Whether the MTU has to be that still when it is checked."""
    mac: str = ""
    detect_duplicates: bool = False
    dns: Dns | None = None
    ipam: Ipam | None = None


def parse(body: Body, environment: Environment, version: str, kind: Kind) -> Conf:
    """Read and check what all have, the IPAM's part too.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    return Conf(
        kind=kind,
        detect_duplicates=keys.flag(body, "enabledad"),
        dns=_keys.dns(body),
        ipam=_ipam.parse(body, environment, version),
    )


def parse_on_master(body: Body, environment: Environment, version: str, kind: Kind) -> Conf:
    """And what those have that stand on another link. Raises as `parse`."""
    return replace(
        parse(body, environment, version, kind),
        master=_master_name(keys.text(body, "master")),
        in_container=keys.flag(body, "linkInContainer"),
        mtu=_keys.mtu(body),
    )


def parse_loosely(body: Body) -> Conf:
    """Read which IPAM to give the addresses back to: DEL needs no master (E41, E46, E48)."""
    return Conf(ipam=_ipam.parse_loosely(body))


def require_ipam(conf: Conf) -> None:
    """Refuse to go without addresses, where the plugin cannot (E47, E54)."""
    if conf.ipam is None:
        raise CniError(Code.CONFIG, f"cannot use key 'ipam': {conf.kind} links need an IPAM, and no type is named")


def declines(body: Body, visible: Visible, known: frozenset[str], capabilities: AbstractSet[str]) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do. Raises CniError."""
    return (
        _skeleton.undeclared(body, known) or _arguments.undeclared(body, capabilities) or _ipam.declines(body, visible)
    )


def add(call: Call[Conf], given: Result | None = None) -> Result:
    """Attach the pod; when a step fails, all that was done for it is undone.

    Args:
        call: whose.
        given: addresses that an earlier plugin of the chain has found; None asks the IPAM, if there is one.
    """
    conf = call.conf
    with ExitStack() as undo:
        _make(call)
        undo.callback(_take_away, call)
        if given is None:
            given = _ipam.lease(call, conf.ipam, undo) if conf.ipam else Result()
            undo.callback(_take_away, call)  # before the addresses are given back: somebody may get them at once
        result = replace(given, ips=tuple(replace(item, interface=_INTERFACE) for item in given.ips))
        link = _set_up(call, result)
        undo.pop_all()
    interface = Interface(name=link.name, mac=link.mac, sandbox=call.environment.netns)
    return replace(result, interfaces=(interface,), dns=conf.dns or result.dns)


def check(call: Call[Conf]) -> None:
    """Compare the attachment with what the ADD reported (E42)."""
    conf = call.conf
    result = call.previous()
    if conf.ipam:
        _ipam.check(call, conf.ipam)
    container = _interface.reported(call, result)
    with call.open_pod() as pod, _beside_master(call, pod.links) as around:
        link = _interface.standing(pod, container)
        with failing(f"cannot look at interface {link.name!r}"):
            kind = kinds.of(pod.links, link.index)
        what = f"interface {link.name!r}"
        if kind != conf.kind:
            raise _interface.unconfirmed(what, f"it is no {conf.kind}" + (f", but {kind}" if kind else ""))
        if conf.is_mtu_kept and conf.mtu and conf.mtu != link.mtu:
            raise _interface.unconfirmed(what, f"its MTU is {link.mtu}, not {conf.mtu}")
        if conf.master:
            _master(call, around)
        if isinstance(conf.kind, Dummy):  # as the reference's: it has to be up, and its routes are not looked at
            result = replace(result, routes=())
            if not link.up:
                raise _interface.unconfirmed(what, "it is down")
        _check_addresses(pod.links, link, call.environment.ifname, result)


def delete(call: Call[Conf]) -> None:
    """Take the link away, then give the addresses back; what is gone is fine."""
    if call.pod is not None:
        with call.open_pod() as pod, failing(f"cannot delete interface {call.environment.ifname!r}"):
            for name in (call.environment.ifname, _provisional(call)):
                link = devices.find(pod.links, name)
                if link is not None:
                    devices.delete(pod.links, link.index)
    if call.conf.ipam:
        _ipam.release(call, call.conf.ipam)


def status(call: Call[Conf]) -> None:
    """Whether there are addresses (E16)."""
    if call.conf.ipam:
        _ipam.status(call, call.conf.ipam)


def gc(call: Call[Conf]) -> None:
    """Give back addresses of attachments that are not valid any more (E17): links go with their pods."""
    if call.conf.ipam:
        _ipam.gc(call, call.conf.ipam)


def _check_addresses(pod: Netlink, link: Device, ifname: IfName, result: Result) -> None:
    """As everywhere, but the kernel has no route to an IPv4 address alone in its prefix, as the reference wants one."""
    alone = [item for item in result.ips if item.address.version == _IPV4 and item.address.network.num_addresses == 1]
    with failing(f"cannot list the addresses of interface {ifname!r}"):
        standing = addresses.of(pod, link.index, _IPV4) if alone else ()
    for item in alone:
        if item.address not in standing:
            raise _interface.unconfirmed(f"interface {ifname!r}", f"address '{item.address}' is missing")
    others = tuple(item for item in result.ips if item not in alone)
    _interface.check(pod, link.index, ifname, replace(result, ips=others))


def _master_name(text: str) -> str:
    try:
        return interface_name(text) if text else ""
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use key 'master': {error.msg}") from None


def _beside_master(call: Call[Conf], pod: Netlink) -> AbstractContextManager[Netlink]:
    """A handle to where the master is."""
    return nullcontext(pod) if call.conf.in_container else call.edges.host()


def _make(call: Call[Conf]) -> None:
    """Make the link in the pod, under its name."""
    conf, ifname = call.conf, call.environment.ifname
    with ExitStack() as opened:
        if conf.in_container:
            around = opened.enter_context(call.open_pod()).links
        else:
            around = opened.enter_context(call.edges.host())
        master = _master(call, around) if not isinstance(conf.kind, Dummy) else None
        plan = Plan(
            kind=conf.kind, name=ifname, lower=master.index if master else 0, netns_fd=call.netns(), group=GROUP,
            mtu=conf.mtu, mac=conf.mac,
        )  # fmt: skip
        if not _create(around, plan, ifname):
            _make_apart(call, around, plan)


def _make_apart(call: Call[Conf], around: Netlink, plan: Plan) -> None:
    """Make it under another name: a kernel before 6.15 does not take one that stands beside the master (E1)."""
    ifname = call.environment.ifname
    what = f"cannot create interface {ifname!r}"
    with call.open_pod() as pod, failing(what), ExitStack() as undo:
        if devices.find(pod.links, ifname) is not None:
            hint = "a pod gets an interface once: DEL comes before the next ADD"
            raise CniError(Code.CONFIG, f"{what}: the pod has one of that name", hint)
        other = replace(plan, name=_provisional(call))
        if not _create(around, other, ifname):
            taken = f"{plan.kind} of its master" if isinstance(plan.kind, Vlan) else f"link {other.name!r}"
            raise CniError(Code.TRY_AGAIN, f"{what}: somebody has {taken}")
        undo.callback(_undo.link, pod.links, other.name)
        link = devices.find(pod.links, other.name)
        if link is None:
            raise CniError(Code.IO, f"{what}: it is gone")
        moves.rename(pod.links, link.index, ifname)
        undo.pop_all()


def _provisional(call: Call[Conf]) -> str:
    """The other name: DEL finds it after an ADD that was killed between making and renaming."""
    whose = f"{call.environment.container_id} {call.environment.ifname}"
    return f"mc{hashlib.sha256(whose.encode()).hexdigest()[:12]}"


def _create(around: Netlink, plan: Plan, ifname: str) -> bool:
    """Make it; False when the name is taken, or the VLAN."""
    with _explained(_MAKING), failing(f"cannot create interface {ifname!r}", fine=FileExistsError):
        kinds.create(around, plan)
        return True
    return False


@contextmanager
def _explained(hints: Mapping[int, str]) -> Iterator[None]:
    """Say what the kernel means by a refusal, where that is known."""
    try:
        yield
    except CniError as error:
        cause = error.__cause__
        number = cause.errno if isinstance(cause, OSError) else None
        if number is None or number not in hints:
            raise
        code = Code.TRY_AGAIN if number == errno.EADDRINUSE else error.code  # its owner may be about to go
        raise CniError(code, error.msg, hints[number]) from cause


def _master(call: Call[Conf], around: Netlink) -> Device:
    """The link to stand on, big enough for what is asked (E39)."""
    conf = call.conf
    where = "pod" if conf.in_container else "node"
    with failing(f"cannot look at the links of the {where}"):
        found = devices.find(around, conf.master) if conf.master else _default(around)
    if found is None and conf.master:
        raise CniError(Code.CONFIG, f"cannot use master {conf.master!r}: the {where} has no such link")
    if found is None:
        hint = "key 'master' names the link to use"
        raise CniError(Code.CONFIG, f"cannot choose a master: the {where} has no default route", hint)
    if conf.is_bounded and conf.mtu > found.mtu:
        cause = f"{conf.mtu} is more than the {found.mtu} of master {found.name!r}"
        raise CniError(Code.CONFIG, f"cannot use key 'mtu': {cause}")
    return found


def _default(around: Netlink) -> Device | None:
    """The link of the first default route."""
    for family in (4, 6):
        for route in routes.every(around, family):
            if route.dst.prefixlen == 0 and route.table == MAIN_TABLE:
                return devices.at(around, route.hops[0][0])
    return None


def _set_up(call: Call[Conf], result: Result) -> Device:
    """Addresses, routes, up; the link as the kernel has it."""
    ifname = call.environment.ifname
    with call.open_pod(*(_interface.settings(ifname, result) if result.ips else ())) as pod:
        with failing(f"cannot look at interface {ifname!r}"):
            link = devices.find(pod.links, ifname)
        if link is None:
            raise CniError(Code.IO, f"cannot set up interface {ifname!r}: it is gone")
        call.edges.made(link.index)
        with _explained(_SETTING_UP):
            if result.ips:  # the kernel announces them when the link comes up
                _interface.configure(pod, link.index, ifname, result, detect_duplicates=call.conf.detect_duplicates)
            else:
                with failing(f"cannot bring up interface {ifname!r}"):
                    devices.bring_up(pod.links, link.index)
    return link


def _take_away(call: Call[Conf]) -> None:
    """Undo the making."""
    try:
        with call.open_pod() as pod:
            _undo.link(pod.links, call.environment.ifname)
    except CniError as error:
        _undo.log.warning("cannot delete interface %r after a failure: %s", call.environment.ifname, error)
