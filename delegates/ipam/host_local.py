# SPDX-License-Identifier: Apache-2.0
"""Addresses of this node's own, from ranges, kept in a folder that it shares with the reference's host-local.

Unlike the reference it has GC and STATUS (F20), and a DEL that needs no more than the folder's name (F16). Must not
know any interface, nor the plugin that it allocates for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from delegates import _arguments, _program, _text
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._text import Ip
from delegates.ipam import allocator, ranges, resolv, store
from delegates.ipam.allocator import Holder
from delegates.ipam.ranges import RangeSet
from metacni.cni import keys, versions
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.result import Address, Result, Route

TYPES: Final = frozenset({"host-local", "metacni-host-local"})
DATA_DIR: Final = "/var/lib/cni/networks"
_KEYS: Final = ranges.KEYS | {"type", "ranges", "routes", "datadir", "resolvconf"}
_ROUTE_KEYS: Final = frozenset({"dst", "gw", "mtu", "advmss", "priority", "table", "scope"})


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
    ipam = _part(body)
    at_run_time = keys.mapping(body, "runtimeConfig") or {}
    sets = ranges.parse(ipam, keys.items(at_run_time, "ipRanges") or [])
    if not versions.shape(version).lists:
        ranges.require_one_per_family(sets)
    _arguments.require_known(environment, _arguments.KNOWN)
    requested = _arguments.several(body, environment, "IP", "ips")
    return Conf(
        data_dir=_data_dir(ipam),
        sets=sets,
        requested=tuple(_text.requested(item.where, item.text, item.code) for item in requested),
        routes=tuple(map(_route, _text.objects(ipam, "routes"))),
        resolv_conf=keys.text(ipam, "resolvConf"),
    )


def parse_loosely(body: Body) -> Conf:
    """Read where the leases are."""
    return Conf(data_dir=_data_dir(keys.mapping(body, "ipam") or {}))


def add(call: Call[Conf]) -> Result:
    """Lease one address of each range set."""
    conf = call.conf
    dns = resolv.read(conf.resolv_conf)
    with store.make(conf.data_dir, call.network) as folder:
        leases = allocator.allocate(conf.sets, conf.requested, _holder(call), folder)
    ips = tuple(
        Address(address=_text.prefixed("address", f"{lease.address}/{lease.range.subnet.prefixlen}"),
                gateway=lease.range.gateway)
        for lease in leases
    )  # fmt: skip
    return Result(ips=ips, routes=conf.routes, dns=dns)


def check(call: Call[Conf]) -> None:
    """At least one lease is the container's (F18)."""
    with store.existing(call.conf.data_dir, call.network) as folder:
        if folder is None or not folder.held(_holder(call)):
            holder = f"container {call.environment.container_id!r} interface {call.environment.ifname!r}"
            raise CniError(Code.INTERNAL, f"cannot confirm a lease of {holder}: there is none")


def delete(call: Call[Conf]) -> None:
    """Give back what the container has (F15)."""
    with store.existing(call.conf.data_dir, call.network) as folder:
        if folder is not None:
            folder.release(_holder(call))


def gc(call: Call[Conf]) -> None:
    """Give back what no valid attachment has."""
    with store.existing(call.conf.data_dir, call.network) as folder:
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
        used = sum(1 for address in taken if (part := pool.of(address)) and address != part.gateway)
        if used >= pool.size:
            raise CniError(Code.NOT_AVAILABLE, f"cannot allocate an address: all of {pool} are taken")


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    ipam = _part(body)
    key = _text.unknown(ipam, _KEYS)
    if key:
        return f"key 'ipam.{key}' ({describe(ipam[key])}) is not known"
    for route in _text.objects(ipam, "routes"):
        key = _text.unknown(route, _ROUTE_KEYS)
        if key:
            return f"key '{key}' of a route ({describe(route[key])}) is not known"
    for name, path in (("dataDir", str(_data_dir(ipam))), ("resolvConf", keys.text(ipam, "resolvConf"))):
        if path and not visible(path):
            return f"path {path!r} of key 'ipam.{name}' is not mounted in the agent"
    return None


def _part(body: Body) -> dict[str, Json]:
    ipam = keys.mapping(body, "ipam")
    if ipam is None:
        raise CniError(Code.CONFIG, "cannot allocate addresses: key 'ipam' is missing")
    return ipam


def _data_dir(ipam: Mapping[str, Json]) -> Path:
    text = keys.text(ipam, "dataDir") or DATA_DIR
    if not text.startswith("/") or "\0" in text:
        raise CniError(Code.CONFIG, f"cannot use key 'dataDir' {describe(text)}: not an absolute path")
    return Path(text)


def _route(item: Mapping[str, Json]) -> Route:
    dst, gateway = keys.text(item, "dst"), keys.text(item, "gw")
    found = _text.prefixed("dst", dst)
    if found.version == 4 and found.ip != found.network.network_address:  # noqa: PLR2004 - IPv6's the kernel cuts off
        raise CniError(Code.CONFIG, f"cannot use dst {dst!r} of a route: host bits are set")
    hop = _text.ip("gw", gateway) if gateway else None
    if hop is not None and hop.version != found.version:
        raise CniError(Code.CONFIG, f"cannot use gw '{hop}' of route '{found.network}': of another family")
    numbers = {key: _number(item, key) for key in ("mtu", "advmss", "priority", "table", "scope")}
    return Route(dst=found.network, gw=hop, **numbers)


def _number(item: Mapping[str, Json], key: str) -> int | None:
    value = keys.integer(item, key)
    if value is not None and not 0 <= value < (256 if key == "scope" else 1 << 32):
        raise CniError(Code.CONFIG, f"cannot use key {key!r} of a route: {value} is out of range")
    return value


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
