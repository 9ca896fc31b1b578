# SPDX-License-Identifier: Apache-2.0
"""Source-based routing: what the pod sends from an address of the interface takes that interface's routes (E60).

Each address gets a table of its own, with the interface's routes that go with it, and a rule that leads there; the main
table is left to the other interfaces. All of it is in the pod, so garbage collection, which enters none, has nothing to
do: what a lost DEL left behind, the next ADD of the address takes away.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from delegates import _arguments, _chained, _program, _skeleton, _text, _undo
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._text import Ip
from metacni.cni import convert, keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.names import IfName
from metacni.cni.result import Address, Result
from metacni.netns import addresses, devices, routes, rules
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.routes import LINK_SCOPE, Whole
from metacni.netns.rules import Rule
from metacni.netns.sandbox import cause

FIRST: Final = 100
"""The table where the search for a free one begins."""

_KEYS: Final = frozenset({"table", "gateways", "addsourcehints"})
_TABLES: Final = range(1, 1 << 32)
_KERNELS: Final = range(253, 256)
_FAMILIES: Final = (4, 6)
_EVERYWHERE: Final = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """The configuration."""

    table: int | None = None
    """Whose routes somebody else makes: then only the rules are ours."""
    gateways: tuple[Ip, ...] = ()
    """At most one of each family; stronger than those of the addresses."""
    hints: bool = False
    """Whether the main table keeps the subnets, each from its address."""


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    del environment, version  # all have the same keys, and no pod asks for any
    table = keys.integer(body, "table")
    if table is not None and table not in _TABLES:
        raise CniError(Code.CONFIG, f"cannot use key 'table': {table} is not in {_TABLES[0]}-{_TABLES[-1]}")
    gateways = tuple(_text.ip("key 'gateways'", text) for text in keys.texts(body, "gateways"))
    if len({gateway.version for gateway in gateways}) < len(gateways):
        told = ", ".join(map(str, gateways))
        raise CniError(Code.CONFIG, f"cannot use key 'gateways': of {told} more than one is of a family")
    return Conf(table=table, gateways=gateways, hints=keys.flag(body, "addSourceHints"))


def parse_loosely(body: Body) -> Conf:
    """Read whether only one table's rules are ours."""
    with suppress(CniError):
        table = keys.integer(body, "table")
        return Conf(table=table if table is not None and table in _TABLES else None)
    return Conf()


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do.

    Raises:
        CniError: as `parse`.
    """
    del visible  # nothing on the node is used
    if unknown := _skeleton.undeclared(body, _KEYS):
        return unknown
    if keys.integer(body, "table") is not None:
        for key in ("gateways", "addSourceHints"):
            if keys.find(body, key):
                return f"key {key!r} has no effect beside 'table'"
    return _arguments.undeclared(body, ())


def add(call: Call[Conf]) -> Result:
    """Give each address its rule, and unless that was chosen, its table; a step that fails undoes those before."""
    result = _chained.previous(call)
    ifname, conf = call.environment.ifname, call.conf
    ours = _of_interface(result, ifname)
    if not ours:
        raise CniError(Code.CONFIG, f"cannot route by source: prevResult has no address of interface {ifname!r}")
    with _chained.locked(call), call.open_pod() as pod, ExitStack() as undo:
        if conf.table is None:
            _separate(pod.links, ifname, ours, conf, undo)
        else:
            _lead(pod.links, [item.address.ip for item in ours], conf.table, undo)
        undo.pop_all()
    return result


def check(call: Call[Conf]) -> None:
    """Compare the rules; the reference looks at nothing."""
    ours = _of_interface(call.previous(), call.environment.ifname)
    with call.open_pod() as pod, failing("cannot list the routing rules of the pod"):
        standing = rules.every(pod.links)
    for item in ours:
        led = {rule.table for rule in standing if rule.exact and rule.source == item.address.ip}
        wanted = call.conf.table
        if not any(table == wanted if wanted is not None else _may_be_own(table) for table in led):
            where = "of its own" if wanted is None else str(wanted)
            what = f"cannot confirm interface {call.environment.ifname!r}"
            raise CniError(Code.INTERNAL, f"{what}: no rule leads from '{item.address.ip}' to table {where}")


def delete(call: Call[Conf]) -> None:
    """Take the rules away, also when the interface is gone; its routes go with it."""
    if call.pod is None:
        return
    ifname, wanted = call.environment.ifname, call.conf.table
    with call.open_pod() as pod, _undo.Failures() as failures:
        with failing("cannot list addresses and routing rules of the pod"):
            gone = _reported(call) | _present(pod.links, ifname)
            standing = rules.every(pod.links)
        for rule in standing:
            if rule.exact and rule.source in gone and wanted in (None, rule.table):
                with failures.collected(), failing(f"cannot delete the rule from '{rule.source}'"):
                    rules.delete(pod.links, rule)


def _of_interface(result: Result, ifname: IfName) -> list[Address]:
    """The addresses of the interface, and those of which it is not said whose they are."""
    others = {number for number, item in enumerate(result.interfaces) if item.name != ifname}
    return [item for item in result.ips if item.interface not in others]


def _reported(call: Call[Conf]) -> set[Ip]:
    """The interface's addresses as DEL is told, as far as they can be read."""
    with suppress(CniError):
        told = convert.parse(keys.mapping(call.body, "prevResult") or {}, call.version)
        return {item.address.ip for item in _of_interface(told, call.environment.ifname)}
    return set()


def _present(links: Netlink, ifname: IfName) -> set[Ip]:
    link = devices.find(links, ifname)
    if link is None:
        return set()
    return {item.ip for family in _FAMILIES for item in addresses.of(links, link.index, family)}


def _lead(links: Netlink, sources: Iterable[Ip], table: int, undo: ExitStack) -> None:
    """Have addresses use a table that is somebody else's; the kernel would take the same rule twice."""
    with failing("cannot list the routing rules of the pod"):
        standing = {(rule.source, rule.table) for rule in rules.every(links) if rule.exact}
    for source in sources:
        if (source, table) not in standing:
            _add_rule(links, source, table, undo)


def _separate(links: Netlink, ifname: IfName, ours: Sequence[Address], conf: Conf, undo: ExitStack) -> None:
    """Move the interface's routes from the main table to those of its addresses."""
    with failing(f"cannot look at interface {ifname!r}"):
        link = devices.find(links, ifname)
    if link is None:
        raise _chained.missing(ifname)
    with failing("cannot list routes and rules of the pod"):
        moving = routes.over(links, link.index)
        occupied = set(routes.tables(links))  # the reference overlooks routes, and takes over tables of others
        standing = _without_stale(links, rules.every(links), ours, occupied, undo)
    occupied |= {rule.table for rule in standing}
    table = FIRST
    for item in ours:
        while table in occupied:
            table += 1
        occupied.add(table)
        with failing(f"cannot set up routing table {table} for '{item.address.ip}'"):
            undo.callback(_empty, links, link.index, table)
            for route in _planned(link.index, item, moving, ours, conf):
                routes.put(links, route, table)
        _add_rule(links, item.address.ip, table, undo)
    undo.callback(_put_back, links, link.index, moving)
    with failing(f"cannot move the routes of interface {ifname!r} out of the main table"):
        _leave_main(links, link.index, moving, ours if conf.hints else ())


def _without_stale(
    links: Netlink, standing: Sequence[Rule], ours: Sequence[Address], occupied: Iterable[int], undo: ExitStack
) -> list[Rule]:
    """The rules without those that an earlier life of our addresses left behind: they lead to empty tables."""
    sources = {item.address.ip for item in ours}
    kept = []
    for rule in standing:
        if not (rule.exact and rule.source in sources and _may_be_own(rule.table)):
            kept.append(rule)
        elif rule.table in occupied:
            hint = "an interface is set up once: DEL comes before the next ADD"
            raise CniError(Code.CONFIG, f"cannot route by source: '{rule.source}' has table {rule.table}", hint)
        else:
            rules.delete(links, rule)
            undo.callback(_rule_back, links, rule)
    return kept


def _may_be_own(table: int) -> bool:
    """Whether `add` could have chosen this table."""
    return table >= FIRST and table not in _KERNELS


def _planned(index: int, item: Address, moving: Sequence[Whole], ours: Sequence[Address], conf: Conf) -> list[Whole]:
    """The routes for the table of an address.

    A default route of the interface's replaces the one over the address's gateway, but gives way to a chosen one.
    """
    family = item.address.version
    chosen = next((one for one in conf.gateways if one.version == family), None)
    gateway = chosen or item.gateway
    going = [
        route for route in moving if _goes_with(route, item, ours) and not (chosen and route.dst == _EVERYWHERE[family])
    ]
    plan = [route for route in going if route.gateway is None]
    if gateway is not None:
        plan.append(routes.default(index, gateway))
    return plan + [route for route in going if route.gateway is not None]


def _goes_with(route: Whole, item: Address, ours: Sequence[Address]) -> bool:
    """Whether a route goes with an address: its subnet has what it leads to or from, or there is neither.

    One that goes with no address at all, as over a link-local gateway, goes with each of its family: the reference
    loses it.
    """
    if route.gateway is None and route.source is None:
        return True
    if _touches(route, item):
        return True
    return route.family == item.address.version and not any(_touches(route, other) for other in ours)


def _touches(route: Whole, item: Address) -> bool:
    network = item.address.network
    return any(ip in network for ip in (route.gateway, route.source) if ip and ip.version == network.version)


def _leave_main(links: Netlink, index: int, moving: Sequence[Whole], hinted: Sequence[Address]) -> None:
    """Take the interface's routes out of the main table; with hints, its subnets stay."""
    for item in hinted:
        routes.put(links, routes.hinted(index, item.address.network, item.address.ip))
    for route in reversed(moving):
        if not (hinted and route.scope == LINK_SCOPE):
            routes.remove(links, route)


def _add_rule(links: Netlink, source: Ip, table: int, undo: ExitStack) -> None:
    with failing(f"cannot add the rule from '{source}' to table {table}"):
        rules.add(links, source, table)
    undo.callback(_rule_away, links, source, table)


def _rule_away(links: Netlink, source: Ip, table: int) -> None:
    try:
        rules.delete(links, rules.made(source, table))
    except OSError as error:
        _undo.log.warning("cannot delete the rule from '%s' after a failure: %s", source, cause(error))


def _rule_back(links: Netlink, rule: Rule) -> None:
    try:
        rules.put_back(links, rule)
    except OSError as error:
        _undo.log.warning("cannot put the rule from '%s' back after a failure: %s", rule.source, cause(error))


def _empty(links: Netlink, index: int, table: int) -> None:
    try:
        for route in reversed(routes.over(links, index, table)):
            routes.remove(links, route, table)
    except OSError as error:
        _undo.log.warning("cannot empty routing table %d after a failure: %s", table, cause(error))


def _put_back(links: Netlink, index: int, moving: Sequence[Whole]) -> None:
    try:
        for route in routes.over(links, index):
            if route not in moving:
                routes.remove(links, route)
        for route in moving:
            routes.put(links, route)
    except OSError as error:
        _undo.log.warning("cannot put routes back into the main table after a failure: %s", cause(error))


DELEGATE: Final = Delegate(
    name="sbr",
    about="routing by source address for an interface that another plugin has made",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    delete=delete,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
