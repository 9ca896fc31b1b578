# SPDX-License-Identifier: Apache-2.0
"""Which requests reach which network, and by which of the three ways CNI has grown: runtimeConfig, CNI_ARGS, args.cni.

What the runtime sends is for the default network alone, what the annotation asks for its own network alone (B43, C42).
Which plugin of a list sees a value is `metacni.cni.config.request`'s filter; this module must not build requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from metacni.cni import keys
from metacni.cni.config import NetworkList, PluginConfig
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.core import requested
from metacni.core.selection import NetworkSelection

Pairs = Sequence[tuple[str, str]]

_DOCUMENTED: Final[Mapping[str, tuple[str, ...]]] = {  # A67
    "portMappings": ("hostPort", "containerPort", "protocol", "hostIP"),
    "bandwidth": ("ingressRate", "ingressBurst", "egressRate", "egressBurst"),
    "dns": ("servers", "searches", "options"),
    "ipRanges": ("subnet", "rangeStart", "rangeEnd", "gateway"),
}
_POD_KEYS: Final = ("K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID")
_IGNORE_UNKNOWN: Final = "IgnoreUnknown"
_PRIMARY_ONLY: Final = frozenset({"IP", "MAC", "GATEWAY"})  # the pod's first address; two interfaces cannot share it


def documented(runtime_config: Mapping[str, Json]) -> dict[str, Json]:
    """The runtime's values with the documented names: containerd sends `HostPort` where `hostPort` is meant (G7)."""
    return {key: _renamed(value, _DOCUMENTED.get(key, ())) for key, value in runtime_config.items()}


def declared(network: NetworkList) -> frozenset[str]:
    """What at least one plugin of the network can take."""
    return frozenset().union(*(plugin.capabilities for plugin in network.plugins))


def granted(offered: Mapping[str, Json], network: NetworkList) -> dict[str, Json]:
    """The part of an offer that some plugin takes, whatever its name (B44); the rest need not be recorded."""
    taken = declared(network)
    return {key: value for key, value in offered.items() if key in taken}


def unserved(selection: NetworkSelection, network: NetworkList) -> tuple[str, ...]:
    """The annotation's keys that no plugin of the network declares a capability for."""
    taken = declared(network)
    return tuple(requested.annotation_key(name) for name in selection.capability_args if name not in taken)


def require_served(selection: NetworkSelection, network: NetworkList) -> None:
    """The standard's rule: a request that no plugin can take fails the attachment (C41)."""
    if missing := unserved(selection, network):
        raise CniError(
            Code.CONFIG,
            f"cannot attach network {selection.network!r}: no plugin of it can take {', '.join(map(repr, missing))}",
            f"set the capability to true in the plugin of network {network.name!r} that supports it",
        )


def default_arguments(incoming: Pairs) -> tuple[tuple[str, str], ...]:
    """CNI_ARGS of the default network: the runtime's pairs, in Multus's order and each key once (B49)."""
    pairs = {_IGNORE_UNKNOWN: "true"}
    found = dict(incoming)  # of two equal keys a Go plugin takes the last
    pairs |= {key: found[key] for key in _POD_KEYS if key in found}
    pairs |= {key: value for key, value in found.items() if key != _IGNORE_UNKNOWN}
    return tuple(pairs.items())


def further_arguments(incoming: Pairs) -> tuple[tuple[str, str], ...]:
    """CNI_ARGS of any other network: the runtime's pairs, less those that are about the pod's first address."""
    return tuple((key, value) for key, value in default_arguments(incoming) if key not in _PRIMARY_ONLY)


def selected_arguments(
    incoming: Pairs, selection: NetworkSelection, network: NetworkList
) -> tuple[tuple[str, str], ...]:
    """CNI_ARGS of a selected network: those of any other, and the request's.

    IP is for the IPAMs that know no other way: only for exactly one address (host-local takes one), and only where no
    plugin declares the capability, so that nothing hears of it twice (B50). Which IPAM it is does not matter: one that
    does not know the key passes over it, since IgnoreUnknown is set.
    """
    pairs = dict(further_arguments(incoming))
    mac, ips = selection.capability_args.get("mac"), selection.capability_args.get("ips")
    if isinstance(mac, str):
        pairs["MAC"] = mac
    if isinstance(ips, list) and len(ips) == 1 and "ips" not in declared(network):
        pairs["IP"] = str(ips[0])
    return tuple(pairs.items())


def with_cni_args(network: NetworkList, cni_args: Mapping[str, Json]) -> NetworkList:
    """The network with the annotation's `cni-args` in every plugin's `args.cni`, over what stands there (C37)."""
    if not cni_args:
        return network
    return replace(network, plugins=tuple(_with_args(plugin, cni_args) for plugin in network.plugins))


def _with_args(plugin: PluginConfig, cni_args: Mapping[str, Json]) -> PluginConfig:
    spelling = (keys.spellings(plugin.raw, "args") or ("args",))[-1]
    args = _object(plugin, plugin.raw.get(spelling), "args")
    inner = (keys.spellings(args, "cni") or ("cni",))[-1]
    merged = {**_object(plugin, args.get(inner), "args.cni"), **cni_args}
    return replace(plugin, raw=plugin.raw | {spelling: args | {inner: merged}})


def _object(plugin: PluginConfig, value: Json, what: str) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CniError.decode(f"key {what!r} of plugin {plugin.type!r}", f"{describe(value)} is not an object")
    return value


def _renamed(value: Json, spellings: tuple[str, ...]) -> Json:
    if isinstance(value, list):
        return [_renamed(item, spellings) for item in value]
    if isinstance(value, dict):
        wanted = {name.casefold(): name for name in spellings}
        return {wanted.get(key.casefold(), key): item for key, item in value.items()}
    return value
