# SPDX-License-Identifier: Apache-2.0
"""The default routes of the whole pod as one plan over all interfaces and families, and the results after it.

A family in which nobody asks for a gateway is left alone (C48), where Multus takes its default routes too. An empty
`default-route` asks for what its own plugin installs, in both families (C51). What is removed and added is also
changed in the results, so that CHECK, the status and the answer say what is in force (C53, C54).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from metacni.cni.names import IfName
from metacni.cni.result import Result, Route
from metacni.core.plan import Attachment

FAMILIES: Final = (4, 6)
_ANYWHERE: Final = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_MAIN_TABLES: Final = (None, 0, 254)  # only these decide where a pod's packets go by default


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """First the default routes to remove, by interface and family (4 or 6), then the gateways to add."""

    remove: tuple[tuple[IfName, int], ...]
    add: tuple[tuple[IfName, IPv4Address | IPv6Address], ...]


def plan(attachments: Sequence[Attachment], results: Sequence[Result]) -> RoutePlan | None:
    """What the attachments ask for together; None when nobody asks, and the routes stay as the plugins made them."""
    if all(item.default_route is None for item in attachments):
        return None
    add = tuple((item.ifname, gateway) for item in attachments for gateway in item.default_route or ())
    losing = (
        (name, family)
        for family in FAMILIES
        for item, result in zip(attachments, results, strict=True)
        if _loses(item, family, attachments)
        for name in _pod_interfaces(item, result)
    )
    return RoutePlan(remove=tuple(dict.fromkeys(losing)), add=add)


def apply(
    route_plan: RoutePlan | None, attachments: Sequence[Attachment], results: Sequence[Result]
) -> tuple[Result, ...]:
    """The results as they are once the plan is carried out."""
    if route_plan is None:
        return tuple(results)
    return tuple(_applied(route_plan, item, result) for item, result in zip(attachments, results, strict=True))


def is_default(route: Route) -> bool:
    """Whether a route decides where packets go by default; other tables' are none of ours (C52)."""
    return route.dst.prefixlen == 0 and route.table in _MAIN_TABLES


def gateway(route: Route, result: Result) -> IPv4Address | IPv6Address | None:
    """A route's next hop: its own, or that of the first address of its family that has one."""
    hops = (address.gateway for address in result.ips if address.address.version == route.dst.version)
    return route.gw or next((hop for hop in hops if hop is not None), None)


def _loses(item: Attachment, family: int, attachments: Sequence[Attachment]) -> bool:
    """Whether default routes must go: for a gateway that was asked for, or for the networks that keep theirs."""
    if any(hop.version == family for other in attachments for hop in other.default_route or ()):
        return True
    return item.default_route != () and any(other.default_route == () for other in attachments)


def _pod_interfaces(item: Attachment, result: Result) -> tuple[IfName, ...]:
    others = (IfName(interface.name) for interface in result.interfaces if interface.sandbox)
    return tuple(dict.fromkeys((item.ifname, *others)))


def _applied(route_plan: RoutePlan, item: Attachment, result: Result) -> Result:
    kept = [
        route
        for route in result.routes
        if not (is_default(route) and (item.ifname, route.dst.version) in route_plan.remove)
    ]
    added = [
        Route(dst=_ANYWHERE[gateway.version], gw=gateway) for name, gateway in route_plan.add if name == item.ifname
    ]
    return replace(result, routes=(*kept, *added))
