# SPDX-License-Identifier: Apache-2.0
"""Addresses of this node's own, from ranges, none of which is used again before the others: metacni's own IPAM.

Beside host-local it excludes addresses, gives a pod its last address again, costs the same in a subnet of any size,
and can be audited. Must not know any interface, nor the plugin that it allocates for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from delegates import _arguments, _keys, _program, _text
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates.ipam import fair, ledger, part, ranges
from delegates.ipam.allocator import Holder
from delegates.ipam.fair import Wish
from delegates.ipam.ranges import RangeSet
from metacni.cni import keys, names
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, IfName
from metacni.cni.result import Address, Dns, Result, Route

DATA_DIR: Final = "/var/lib/cni/metacni-ipam"
_RANGE_KEYS: Final = ranges.KEYS | {"exclude"}
_KEYS: Final = _RANGE_KEYS | {"type", "ranges", "routes", "dns", "datadir", "sticky"}
_NAMESPACE: Final = "K8S_POD_NAMESPACE"
_NAME: Final = "K8S_POD_NAME"
_KUBERNETES: Final = frozenset({_NAMESPACE, _NAME, "K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID"})
_NOBODY: Final = Wish(holder=Holder(ContainerId(""), IfName("")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration, and who asks."""

    data_dir: Path
    sets: tuple[RangeSet, ...] = ()
    wish: Wish = _NOBODY
    routes: tuple[Route, ...] = ()
    dns: Dns = field(default_factory=Dns)


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read the part under `ipam`, and what is requested.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    ipam = part.of(body)
    sets = ranges.parse(ipam, part.ip_ranges(body))
    for number, pool in enumerate(sets):
        _require_use(number, pool)
    part.require_room(version, [pool.version for pool in sets])
    _arguments.require_known(environment, _arguments.KNOWN | _KUBERNETES)
    requested = _arguments.several(body, environment, "IP", "ips")
    return Conf(
        data_dir=part.data_dir(ipam, DATA_DIR),
        sets=sets,
        wish=Wish(
            holder=Holder(environment.container_id, environment.ifname),
            pod=_pod(ipam, environment),
            requested=tuple(_text.requested(item.where, item.text, item.code) for item in requested),
        ),
        routes=part.routes(ipam),
        dns=_keys.dns(ipam) or Dns(),
    )


def parse_loosely(body: Body) -> Conf:
    """Read where the leases are."""
    return Conf(data_dir=part.data_dir(keys.mapping(body, "ipam") or {}, DATA_DIR))


def add(call: Call[Conf]) -> Result:
    """Lease one address of each range set."""
    conf = call.conf
    with ledger.make(conf.data_dir, call.network) as leases:
        given = fair.allocate(conf.sets, conf.wish, leases)
    ips = tuple(Address(address=lease.prefixed, gateway=lease.range.gateway) for lease in given)
    return Result(ips=ips, routes=conf.routes, dns=conf.dns)


def check(call: Call[Conf]) -> None:
    """The container has leases, among them each address of our ranges that the ADD reported."""
    with ledger.existing(call.conf.data_dir, call.network) as leases:
        held = frozenset(leases.held(_holder(call))) if leases is not None else frozenset()
    holder = f"container {call.environment.container_id!r} interface {call.environment.ifname!r}"
    if not held:
        raise CniError(Code.INTERNAL, f"cannot confirm a lease of {holder}: there is none")
    for item in call.prev_result.ips if call.prev_result else ():
        address = item.address.ip
        if address not in held and any(address in pool for pool in call.conf.sets):
            raise CniError(Code.INTERNAL, f"cannot confirm the lease of '{address}' by {holder}: it has none")


def delete(call: Call[Conf]) -> None:
    """Give back what the container has."""
    with ledger.existing(call.on_node(call.conf.data_dir), call.network) as leases:
        if leases is not None:
            leases.give_back(_holder(call))


def gc(call: Call[Conf]) -> None:
    """Give back what no valid attachment has."""
    with ledger.existing(call.on_node(call.conf.data_dir), call.network) as leases:
        if leases is not None:
            leases.give_back_others(frozenset(Holder(item.container, item.ifname) for item in call.valid))


def status(call: Call[Conf]) -> None:
    """Say 50 when a set has nothing left, or the leases cannot be used."""
    try:
        with ledger.existing(call.conf.data_dir, call.network) as leases:
            if leases is not None:
                for pool in call.conf.sets:
                    fair.require_one(pool, leases)
    except CniError as error:
        raise CniError(Code.NOT_AVAILABLE, error.msg, error.details) from error


def declines(body: Body, visible: Visible) -> str | None:
    """Name what is not carried out. Nobody else has this type: such a configuration is refused."""
    ipam = part.of(body)
    return (
        part.undeclared(ipam, _KEYS)
        or ranges.undeclared(ipam, part.ip_ranges(body), _RANGE_KEYS)
        or part.hidden(visible, dataDir=str(part.data_dir(ipam, DATA_DIR)))
    )


def _require_use(number: int, pool: RangeSet) -> None:
    for item in pool.ranges:
        if item.gateway not in item.subnet:
            told = f"cannot use gateway '{item.gateway}': not in subnet '{item.subnet}'"
            raise CniError(Code.CONFIG, f"range set {number}: {told}")
        if item.size < 1:
            told = f"cannot use range '{item}': gateway and exclude leave no address"
            raise CniError(Code.CONFIG, f"range set {number}: {told}")


def _pod(ipam: Mapping[str, Json], environment: Environment) -> str:
    """Who is to get the same address again; empty where that is not wanted."""
    if not keys.flag(ipam, "sticky") or not environment.container_id:
        return ""
    values = [_arguments.environment_value(environment, variable) for variable in (_NAMESPACE, _NAME)]
    if not all(values):
        hint = "Kubernetes gives them; without them nobody knows that a container is the same pod again"
        raise CniError(Code.ENVIRONMENT, f"cannot use key 'sticky': CNI_ARGS has no {_NAMESPACE} and {_NAME}", hint)
    return f"{names.dns_label(values[0], _NAMESPACE)}/{names.dns_subdomain(values[1], _NAME)}"


def _holder(call: Call[Conf]) -> Holder:
    return Holder(call.environment.container_id, call.environment.ifname)


DELEGATE: Final = Delegate(
    name="ipam",
    about="addresses of this node's own, none used again before the others",
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
