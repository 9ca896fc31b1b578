# SPDX-License-Identifier: Apache-2.0
"""Addresses of this node's own, from ranges, kept in a folder that it shares with the reference's host-local.

Unlike the reference it has GC and STATUS (F20), and a DEL that needs no more than the folder's name (F16). Must not
know any interface, nor the plugin that it allocates for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from delegates import _arguments, _program, _text
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._text import Ip
from delegates.ipam import allocator, part, ranges, resolv, store
from delegates.ipam.allocator import Holder
from delegates.ipam.ranges import RangeSet
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Address, Result, Route

DATA_DIR: Final = "/var/lib/cni/networks"
_KEYS: Final = ranges.KEYS | {"type", "ranges", "routes", "datadir", "resolvconf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    data_dir: Path
    sets: tuple[RangeSet, ...] = ()
    requested: tuple[Ip, ...] = ()
    routes: tuple[Route, ...] = ()
    resolv_conf: str = ""


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read the part under `ipam`, and what is requested.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    ipam = part.of(body)
    sets = ranges.parse(ipam, part.ip_ranges(body))
    part.require_room(version, [pool.version for pool in sets])
    _arguments.require_known(environment, _arguments.KNOWN)
    requested = _arguments.several(body, environment, "IP", "ips")
    return Conf(
        data_dir=part.data_dir(ipam, DATA_DIR),
        sets=sets,
        requested=tuple(_text.requested(item.where, item.text, item.code) for item in requested),
        routes=part.routes(ipam),
        resolv_conf=keys.text(ipam, "resolvConf"),
    )


def parse_loosely(body: Body) -> Conf:
    """Read where the leases are."""
    return Conf(data_dir=part.data_dir(keys.mapping(body, "ipam") or {}, DATA_DIR))


def add(call: Call[Conf]) -> Result:
    """Lease one address of each range set."""
    conf = call.conf
    dns = resolv.read(conf.resolv_conf)
    with store.make(conf.data_dir, call.network) as folder:
        leases = allocator.allocate(conf.sets, conf.requested, _holder(call), folder)
    ips = tuple(Address(address=lease.prefixed, gateway=lease.range.gateway) for lease in leases)
    return Result(ips=ips, routes=conf.routes, dns=dns)


def check(call: Call[Conf]) -> None:
    """At least one lease is the container's (F18)."""
    with store.existing(call.conf.data_dir, call.network) as folder:
        if folder is None or not folder.held(_holder(call)):
            holder = f"container {call.environment.container_id!r} interface {call.environment.ifname!r}"
            raise CniError(Code.INTERNAL, f"cannot confirm a lease of {holder}: there is none")


def delete(call: Call[Conf]) -> None:
    """Give back what the container has (F15)."""
    with store.existing(call.on_node(call.conf.data_dir), call.network) as folder:
        if folder is not None:
            folder.release(_holder(call))


def gc(call: Call[Conf]) -> None:
    """Give back what no valid attachment has."""
    with store.existing(call.on_node(call.conf.data_dir), call.network) as folder:
        if folder is not None:
            folder.release_others([Holder(item.container, item.ifname) for item in call.valid])


def status(call: Call[Conf]) -> None:
    """Say 50 when a set has nothing left, or its folder cannot be used."""
    try:
        with store.existing(call.conf.data_dir, call.network) as folder:
            taken = folder.taken() if folder is not None else set[Ip]()
    except CniError as error:
        raise CniError(Code.NOT_AVAILABLE, error.msg, error.details) from error
    for pool in call.conf.sets:
        used = sum(1 for address in taken if (inside := pool.of(address)) and address != inside.gateway)
        if used >= pool.size:
            raise CniError(Code.NOT_AVAILABLE, f"cannot allocate an address: all of {pool} are taken")


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    ipam = part.of(body)
    where, resolver = str(part.data_dir(ipam, DATA_DIR)), keys.text(ipam, "resolvConf")
    return (
        part.undeclared(ipam, _KEYS)
        or ranges.undeclared(ipam, part.ip_ranges(body), ranges.KEYS)
        or part.hidden(visible, dataDir=where, resolvConf=resolver)
    )


def _holder(call: Call[Conf]) -> Holder:
    return Holder(call.environment.container_id, call.environment.ifname)


DELEGATE: Final = Delegate(
    name="host-local",
    about="addresses of this node's own, from ranges",
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
