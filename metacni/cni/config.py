# SPDX-License-Identifier: Apache-2.0
"""Network configurations: a list of plugins, or one plugin alone, and the request that each plugin gets.

A plugin's own object stays raw beside the little that is read from it, so that what only the plugin knows reaches it
unchanged (A64). Where files are is not known here, and no key of a particular plugin is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.names import NetworkName, PluginType, network_name, plugin_type
from metacni.cni.versions import choose, known

_OWNED = ("name", "cniVersion", "runtimeConfig", "prevResult")  # the keys of a request that are the runtime's (A63)
_OWNED_FOLDED = frozenset(key.casefold() for key in _OWNED)
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """One plugin of a list: what is read from it, and all of it."""

    type: PluginType
    capabilities: frozenset[str]
    raw: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkList:
    """One network: its plugins in ADD order and the version that all of them see."""

    name: NetworkName
    version: str
    plugins: tuple[PluginConfig, ...]
    disable_check: bool
    disable_gc: bool


def parse(body: Mapping[str, Json], siblings: Sequence[Mapping[str, Json]] = ()) -> NetworkList:
    """A list, or a single plugin as a list of one.

    `siblings` are the plugins of the files beside a list; a single plugin has none (A59, A61).
    """
    if "plugins" not in body and keys.find(body, "type") is not None:
        return _parse_single(body)
    name = network_name(_exact_text(body, "name"))
    try:
        return _parse_list(body, name, siblings)
    except CniError as error:
        raise error.within(f"network {name!r}") from None


def only_inlined(body: Mapping[str, Json]) -> bool:
    """Whether a list wants no plugins from the files beside it; the code's meaning, not the prose's (A60)."""
    return _switch(body, "loadOnlyInlinedPlugins")


def to_json(network: NetworkList) -> dict[str, Json]:
    """The list form of any network: `parse` gives the same network back."""
    body: dict[str, Json] = {"cniVersion": network.version, "name": network.name}
    if network.disable_check:
        body["disableCheck"] = True
    if network.disable_gc:
        body["disableGC"] = True
    body["plugins"] = [plugin.raw for plugin in network.plugins]
    return body


def request(
    plugin: PluginConfig, network: NetworkList, *, runtime_config: Mapping[str, Json], prev_result: Json
) -> dict[str, Json]:
    """The stdin of one plugin: its own keys as they are, the runtime's over them (B2, B3, B5; B4: capabilities stay).

    The runtime's keys are taken out in every spelling first: Go would take the last one, whoever wrote it.
    """
    ours: dict[str, Json] = {"name": network.name, "cniVersion": network.version}
    granted = {key: value for key, value in runtime_config.items() if key in plugin.capabilities}
    if granted:
        ours["runtimeConfig"] = granted
    if prev_result is not None:
        ours["prevResult"] = prev_result
    body = {
        key: ours.get(key, value)
        for key, value in plugin.raw.items()
        if key in ours or key.casefold() not in _OWNED_FOLDED
    }
    body.update(ours)
    return body


def _parse_single(body: Mapping[str, Json]) -> NetworkList:
    """Nothing at its top level is the list's but name and version (A61)."""
    name = network_name(keys.text(body, "name"))
    try:
        version, plugin = known(keys.text(body, "cniVersion")), _parse_plugin(body)
    except CniError as error:
        raise error.within(f"network {name!r}") from None
    return NetworkList(name=name, version=version, plugins=(plugin,), disable_check=False, disable_gc=False)


def _parse_list(body: Mapping[str, Json], name: NetworkName, siblings: Sequence[Mapping[str, Json]]) -> NetworkList:
    alone = only_inlined(body)
    if alone and "plugins" not in body:
        raise CniError(Code.CONFIG, "cannot read key 'plugins': missing, and loadOnlyInlinedPlugins is set")
    objects = [*_inlined(body), *(() if alone else siblings)]
    if not objects:
        raise CniError(Code.CONFIG, "cannot read configuration: it has neither plugins nor a type")
    return NetworkList(
        name=name,
        version=choose(_exact_text(body, "cniVersion"), _named_versions(body)),
        plugins=tuple(_parse_listed(index, item) for index, item in enumerate(objects)),
        disable_check=_switch(body, "disableCheck"),
        disable_gc=_switch(body, "disableGC"),
    )


def _inlined(body: Mapping[str, Json]) -> list[Json]:
    plugins = body.get("plugins", [])
    if not isinstance(plugins, list):
        raise CniError.decode("key 'plugins'", f"{describe(plugins)} is not a list")
    if not plugins and "plugins" in body:
        raise CniError(Code.CONFIG, "cannot read key 'plugins': it is empty")
    return plugins


def _parse_listed(index: int, item: Json | Mapping[str, Json]) -> PluginConfig:
    try:
        if not isinstance(item, Mapping):
            raise CniError.decode("configuration", f"{describe(item)} is not an object")
        return _parse_plugin(item)
    except CniError as error:
        raise error.within(f"plugin {index}") from None


def _parse_plugin(body: Mapping[str, Json]) -> PluginConfig:
    name = keys.text(body, "type")
    if not name:
        raise CniError(Code.CONFIG, "cannot read key 'type': missing or empty")
    capabilities = keys.mapping(body, "capabilities") or {}
    for key, value in capabilities.items():
        if value is not None and not isinstance(value, bool):
            raise CniError.decode(f"capability {key!r}", f"{describe(value)} is not a boolean")
    wanted = frozenset(key for key, value in capabilities.items() if value)
    return PluginConfig(type=plugin_type(name), capabilities=wanted, raw=dict(body))


def _exact_text(body: Mapping[str, Json], key: str) -> str:
    """A list-level key, which has one spelling only (A65)."""
    value = body.get(key, "")
    if not isinstance(value, str):
        raise CniError.decode(f"key {key!r}", f"{describe(value)} is not a string")
    return value


def _named_versions(body: Mapping[str, Json]) -> tuple[str, ...]:
    if "cniVersions" in body and body["cniVersions"] is None:
        raise CniError.decode("key 'cniVersions'", "null is not a list of strings")
    return keys.texts({"cniVersions": body.get("cniVersions")}, "cniVersions")


def _switch(body: Mapping[str, Json], key: str) -> bool:
    """A list-level boolean, which may also be its word, in any letter case (A57)."""
    value = body.get(key, False)
    switch = _SWITCH.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(switch, bool):
        raise CniError.decode(f"key {key!r}", f"{describe(value)} is not a boolean")
    return switch
