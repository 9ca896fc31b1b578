# SPDX-License-Identifier: Apache-2.0
"""The one result that the runtime gets for all attachments, and whether it sees more than the primary's part.

Runtimes read it in ways of their own: an address without an index counts as eth0's, one with a wrong index ends
containerd, and a host's interface of the same name hides the pod's (G9, G10, G12). So indexes are always set and right,
and a name stands for one thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from metacni.cni import versions
from metacni.cni.jsontext import Json
from metacni.cni.names import NetnsPath, NetworkName, PluginType
from metacni.cni.result import Address, Interface, Result, Route
from metacni.core import podside, routes
from metacni.core.plan import Attachment

ResultMode: TypeAlias = Literal["auto", "primary", "merged"]

_PRIMARY_TYPES: Final = frozenset({"multus", "multus-shim"})  # they promise what Multus returns (B36)
_PRIMARY_PARENTS: Final = frozenset({"crio"})  # it makes every address a pod IP (G23)


def primary_only(
    *,
    mode: ResultMode,
    node_type: PluginType,
    node_network: NetworkName,
    parent: str,
    lists: Sequence[Mapping[str, Json]],
) -> bool:
    """Whether the answer holds the primary's part only; `lists` are the files of the runtime's folder, in name order.

    Plugins after ours in the runtime's list (portmap, firewall) would act on every address.
    """
    if mode != "auto":
        return mode == "primary"
    if node_type in _PRIMARY_TYPES or parent in _PRIMARY_PARENTS:
        return True
    chains = (_types(body) for body in lists if body.get("name") == node_network)
    own = next((chain for chain in chains if node_type in chain), [node_type])
    return own[-1] != node_type


def merge(
    attachments: Sequence[Attachment],
    results: Sequence[Result],
    *,
    netns: NetnsPath,
    primary_only: bool,
    version: str,
) -> Result:
    """The answer; `results` are those after the route plan, in the order of the attachments, the primary's first."""
    parts = [podside.placed(item, result, netns) for item, result in zip(attachments, results, strict=True)]
    if primary_only or not versions.shape(version).lists:
        parts = parts[:1]
    interfaces: list[Interface] = []
    ips: list[Address] = []
    owners = _owners(parts)
    for position, part in enumerate(parts):
        moved: dict[int | None, int] = {}
        for index, interface in enumerate(part.interfaces):
            if owners.get(interface.name) == (position if interface.sandbox else None):
                moved[index] = len(interfaces)
                interfaces.append(interface)
        ips += (replace(item, interface=moved[item.interface]) for item in part.ips if item.interface in moved)
    return Result(interfaces=tuple(interfaces), ips=tuple(ips), routes=_routes(parts), dns=parts[0].dns)


def _types(body: Mapping[str, Json]) -> list[Json]:
    plugins = body.get("plugins")
    return [item.get("type") for item in plugins if isinstance(item, dict)] if isinstance(plugins, list) else []


def _owners(parts: Sequence[Result]) -> dict[str, int]:
    """Which part may speak of an interface's name: the first that has it in the pod (G12, G13)."""
    owners: dict[str, int] = {}
    for position, part in enumerate(parts):
        for interface in part.interfaces:
            if interface.sandbox:
                owners.setdefault(interface.name, position)
    return owners


def _routes(parts: Sequence[Result]) -> tuple[Route, ...]:
    """The primary's, and of each family's default routes those in force: the first attachment's that has any."""
    merged = list(parts[0].routes)
    for family in routes.FAMILIES:
        defaults = ([route for route in _explicit(part) if _leads(route, family)] for part in parts)
        first = next((found for found in defaults if found), [])
        if not any(_leads(route, family) for route in parts[0].routes):
            merged += first
    return tuple(merged)


def _leads(route: Route, family: int) -> bool:
    return route.dst.version == family and routes.is_default(route)


def _explicit(part: Result) -> tuple[Route, ...]:
    """Routes that say their gateway: among other networks' addresses it could no longer be told."""
    return tuple(replace(route, gw=routes.gateway(route, part)) for route in part.routes)
