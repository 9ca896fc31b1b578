# SPDX-License-Identifier: Apache-2.0
"""An interface of the pod as the port of a VRF, which has a routing table for it and the others of that name (E60).

The VRF is made for its first port and goes with its last one. All of it is in the pod, so garbage collection, which
enters none, has nothing to do.
"""

import errno
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from delegates import _arguments, _chained, _program, _skeleton, _undo
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._text import Ip, Prefixed
from metacni.cni import keys, versions
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.cni.names import interface_name
from metacni.cni.result import Result
from metacni.netns import addresses, devices, routes, vrfs
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.routes import Whole
from metacni.netns.sandbox import cause
from metacni.netns.vrfs import Link

OLDEST: Final = "0.3.1"
PATIENCE: Final = 2.5
"""Seconds for the kernel to make an IPv6 address usable, which takes it a moment."""

_KEYS: Final = frozenset({"vrfname", "table"})
_TABLES: Final = range(1 << 32)
_OWN: Final = range(253, 256)
"""The kernel's own tables: a VRF on one of them would have everybody's routes."""
_LOCAL: Final = 255
_PAUSE: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    name: str = ""
    table: int = 0
    """0 is that of the VRF, or a free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the kernel may take from a link that becomes a port, or ceases to be one."""

    addresses: tuple[Prefixed, ...]
    routes: tuple[Whole, ...]


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 1, a version before VRFs.
    """
    if versions.order(version) < versions.order(OLDEST):
        raise CniError(Code.VERSION, f"cannot serve {environment.verb}: vrf needs CNI version {OLDEST}, not {version}")
    name, table = keys.text(body, "vrfname"), keys.integer(body, "table") or 0
    try:
        interface_name(name)
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use key 'vrfname' {describe(name)}: {error.msg}") from None
    if name == environment.ifname:
        raise CniError(Code.CONFIG, f"cannot use key 'vrfname' {name!r}: it is the interface's own name")
    if table not in _TABLES:
        raise CniError(Code.CONFIG, f"cannot use key 'table': {table} is not in {_TABLES[0]}-{_TABLES[-1]}")
    return Conf(name=name, table=table)


def parse_loosely(body: Body) -> Conf:
    """Read which VRF it is."""
    with suppress(CniError):
        return Conf(name=keys.text(body, "vrfname"))
    return Conf()


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    del visible  # nothing on the node is used
    return _skeleton.undeclared(body, _KEYS) or _arguments.undeclared(body, ())


def add(call: Call[Conf]) -> Result:
    """Make the interface a port of the VRF, its addresses and routes with it; what fails is undone."""
    result = _chained.previous(call)
    ifname = call.environment.ifname
    with _chained.locked(call), call.open_pod() as pod, ExitStack() as undo:
        with failing("cannot list the links of the pod"):
            links = vrfs.every(pod.links)
        port = _named(links, ifname)
        if port is None:
            raise _chained.missing(ifname)
        if port.master:
            master = next((link.name for link in links if link.index == port.master), "?")
            hint = "an interface is set up once: DEL comes before the next ADD"
            raise CniError(Code.CONFIG, f"cannot use interface {ifname!r}: it is a port of {master!r} already", hint)
        vrf, table = _ensure(pod.links, links, call.conf, undo)
        _join(pod.links, port, vrf, table, undo)
        undo.pop_all()
    return result


def check(call: Call[Conf]) -> None:
    """The interface is a port of the VRF, and that has the table."""
    call.previous()
    conf, ifname = call.conf, call.environment.ifname
    with call.open_pod() as pod, failing("cannot list the links of the pod"):
        links = vrfs.every(pod.links)
    vrf, port = _named(links, conf.name), _named(links, ifname)
    if vrf is None or vrf.table is None:
        raise _wrong(f"VRF {conf.name!r}", "it is gone" if vrf is None else "a link of that name is none")
    if conf.table not in (0, vrf.table):
        raise _wrong(f"VRF {conf.name!r}", f"its table is {vrf.table}, not {conf.table}")
    if port is None or port.master != vrf.index:
        raise _wrong(f"interface {ifname!r}", "it is gone" if port is None else f"it is no port of {conf.name!r}")


def delete(call: Call[Conf]) -> None:
    """Let the interface go, and the VRF with its last port; what is gone, or was never ours, is fine."""
    if call.pod is None:
        return
    with _chained.locked(call), call.open_pod() as pod:
        with failing("cannot list the links of the pod"):
            links = vrfs.every(pod.links)
        vrf, port = _named(links, call.conf.name), _named(links, call.environment.ifname)
        if vrf is None or vrf.table is None:
            return
        if port is not None and port.master == vrf.index:
            with failing(f"cannot take interface {port.name!r} out of VRF {vrf.name!r}"):
                vrfs.set_master(pod.links, port.index, 0)
        if not any(link.master == vrf.index and link != port for link in links):
            with failing(f"cannot delete VRF {vrf.name!r}"):
                devices.delete(pod.links, vrf.index)


def _named(links: Sequence[Link], name: str) -> Link | None:
    return next((link for link in links if link.name == name), None)


def _ensure(netlink: Netlink, links: Sequence[Link], conf: Conf, undo: ExitStack) -> tuple[int, int]:
    """The VRF's index and table; it is made when it is not there."""
    vrf = _named(links, conf.name)
    what = f"cannot use VRF {conf.name!r}"
    if vrf is None:
        table = conf.table or _free({link.table for link in links})
        with failing(f"cannot create VRF {conf.name!r} with table {table}"):
            vrfs.create(netlink, conf.name, table)
            undo.callback(_undo.link, netlink, conf.name)
            vrf = _named(vrfs.every(netlink), conf.name)
    if vrf is None or vrf.table is None:
        raise CniError(Code.CONFIG, f"{what}: {'it is gone again' if vrf is None else 'a link of that name is none'}")
    if conf.table not in (0, vrf.table):
        raise CniError(Code.CONFIG, f"{what} with key 'table' {conf.table}: it has table {vrf.table}")
    return vrf.index, vrf.table


def _free(taken: set[int | None]) -> int:
    """The first table that no VRF of the pod has, as the reference chooses it."""
    return next(table for table in range(1, len(taken) + len(_OWN) + 2) if table not in taken and table not in _OWN)


def _join(netlink: Netlink, port: Link, vrf: int, table: int, undo: ExitStack) -> None:
    """Make the port one. Its own routes the kernel makes anew in the VRF's table; the others are moved."""
    with failing(f"cannot read addresses and routes of interface {port.name!r}"):
        kept = Kept(
            addresses=tuple(_global(netlink, port.index)),
            routes=tuple(route for route in routes.over(netlink, port.index) if route.protocol != routes.KERNEL),
        )
    undo.callback(_leave, netlink, port, kept)
    with failing(f"cannot make interface {port.name!r} a port of the VRF"):
        vrfs.set_master(netlink, port.index, vrf)
    with failing(f"cannot move addresses and routes of interface {port.name!r} to table {table}"):
        _restore(netlink, port.index, kept, table, table)


def _leave(netlink: Netlink, port: Link, kept: Kept) -> None:
    try:
        vrfs.set_master(netlink, port.index, 0)
        _restore(netlink, port.index, kept, routes.MAIN_TABLE, _LOCAL)
    except OSError as error:
        _undo.log.warning("cannot give interface %r back as it was after a failure: %s", port.name, cause(error))


def _global(netlink: Netlink, index: int) -> list[Prefixed]:
    """The IPv6 addresses that the kernel does not make by itself."""
    return [address for address in addresses.of(netlink, index, 6) if not address.ip.is_link_local]


def _restore(netlink: Netlink, index: int, kept: Kept, table: int, local: int) -> None:
    """Give the link what it lost. Raises OSError."""
    present = _global(netlink, index)
    lost = [address for address in kept.addresses if address not in present]
    for address in lost:
        addresses.add(netlink, index, address, detect_duplicates=False)
    if lost:
        _settle(netlink, index, {address.ip for address in lost}, local)
    for route in kept.routes:
        routes.put(netlink, route, table)


def _settle(netlink: Netlink, index: int, wanted: set[Ip], table: int) -> None:
    """Wait until the pod answers to these addresses. Raises OSError."""
    end = time.monotonic() + PATIENCE
    while True:
        usable = {route.dst.network_address for route in routes.over(netlink, index, table) if route.local}
        if wanted <= usable:
            return
        if time.monotonic() > end:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        time.sleep(_PAUSE)


def _wrong(what: str, why: str) -> CniError:
    return CniError(Code.INTERNAL, f"cannot confirm {what}: {why}")


DELEGATE: Final = Delegate(
    name="vrf",
    about="an interface that another plugin has made as the port of a VRF",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    delete=delete,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
