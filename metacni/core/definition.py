# SPDX-License-Identifier: Apache-2.0
"""One NetworkAttachmentDefinition's configuration text, and the guard over what its author may write.

A definition is user input that ends in root's hands. What a plugin may nest (another plugin, an IPAM) is guarded too,
in every letter case, because Go takes keys in any. The node's own configuration is not held to the rules, except that
nothing may call metacni from within metacni. Nothing here may look at a file: paths are judged as text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from metacni.cni import config, jsontext, names
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe

MAX_DEPTH: Final = 16  # of nested objects and lists: deeper than any plugin needs
ANY_NAMESPACE: Final = "*"
OWN_TYPES: Final = frozenset({"metacni", "multus", "multus-shim"})
_IPAM: Final = "ipam"
_NESTS: Final = frozenset({"delegate", "delegates", _IPAM, "plugins"})
_ARGS: Final = "args"
_RESERVED: Final = frozenset(key.casefold() for key in ("runtimeConfig", "prevResult"))
_RESERVED_PREFIX: Final = "cni.dev/"
_HOST_PATHS: Final = frozenset(
    key.casefold()
    for key in (
        *("dataDir", "logFile", "kubeconfig", "resolvConf", "daemonSocketPath"),
        *("log_file", "configuration_path"),  # whereabouts spells them like this
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the definitions of one namespace may do."""

    allowed_paths: tuple[str, ...]
    allowed_types: Mapping[str, frozenset[str]] | None
    namespace: str
    private: tuple[str, ...]
    """Folders where no plugin may write for a definition, wherever the allowed paths are."""

    def types(self) -> frozenset[str] | None:
        """The types this namespace may use; None: any.

        Its own list replaces that of `*`; where neither is given nothing is allowed, or a slip would open the node.
        """
        if self.allowed_types is None:
            return None
        return self.allowed_types.get(self.namespace, self.allowed_types.get(ANY_NAMESPACE, frozenset()))


@dataclass(frozen=True, slots=True)
class _Found:
    """An object somewhere in a plugin's configuration, and whether a plugin will be given it as its own."""

    body: Mapping[str, Json]
    is_plugin: bool


def parse(text: str, *, nad_name: str) -> NetworkList:
    """A definition's text as a network; one without a name of its own gets the definition's (C8)."""
    try:
        body = jsontext.loads_unique(text, "configuration")
        if body.get("name") in (None, ""):
            body["name"] = nad_name
        return config.parse(body)
    except CniError as error:
        raise error.within(f"definition {nad_name!r}") from None


def check_reserved(network: NetworkList, rules: Rules) -> None:
    """Refuse what a definition must not hold: the runtime's keys, our own types, types and paths not allowed."""
    check_own_types(network)
    for found in _objects(network):
        for key, value in found.body.items():
            _check_host_path(key, value, rules)
            if found.is_plugin:
                _check_runtime_key(key, value)
                if key.casefold() == _IPAM:
                    _check_object(key, value)
                _check_type(key, value, rules)


def check_own_types(network: NetworkList) -> None:
    """Refuse a network that would call metacni from within metacni, at whatever depth (decision 14)."""
    for found in _objects(network):
        for key, value in found.body.items():
            if key.casefold() == "type" and isinstance(value, str) and value in OWN_TYPES:
                raise _refused(key, value, "metacni cannot be called from within metacni")


def _objects(network: NetworkList) -> Iterator[_Found]:
    """Every object below the network's plugins, the plugins' own first; what `args` of a plugin holds is no one's."""
    stack: list[tuple[Json, bool, int]] = [(plugin.raw, True, 0) for plugin in reversed(network.plugins)]
    while stack:
        value, is_plugin, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise CniError(Code.CONFIG, f"cannot use network {network.name!r}: nested over {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            stack += ((item, is_plugin, depth + 1) for item in value)
        elif isinstance(value, dict):
            yield _Found(value, is_plugin)
            stack += (
                (item, key.casefold() in _NESTS, depth + 1)
                for key, item in value.items()
                if not (is_plugin and key.casefold() == _ARGS)
            )


def _check_runtime_key(key: str, value: Json) -> None:
    """Keys that the runtime writes (A63); of `args` the part `cni` is anybody's (A68)."""
    folded = key.casefold()
    if folded in _RESERVED or folded.startswith(_RESERVED_PREFIX):
        raise _refused(key, value, "the key is the runtime's")
    if folded == _ARGS and value is not None:
        if not (isinstance(value, dict) and value.keys() <= {"cni"}):
            raise _refused(key, value, "only its part 'cni' may be written")
        _check_object("args.cni", value.get("cni"))


def _check_object(key: str, value: Json) -> None:
    """What every plugin takes for an object; it could not read another kind on DEL either, and the pod would stay."""
    if value is not None and not isinstance(value, dict):
        raise _refused(key, value, "not an object")


def _check_type(key: str, value: Json, rules: Rules) -> None:
    if key.casefold() != "type" or value in (None, ""):
        return
    if not isinstance(value, str):
        raise _refused(key, value, "not a string")
    allowed = rules.types()
    if names.plugin_type(value) not in (allowed if allowed is not None else {value}):
        raise _refused(key, value, f"namespace {rules.namespace!r} may not use this type")


def _check_host_path(key: str, value: Json, rules: Rules) -> None:
    """A path is judged by its parts: absolute, no `..`, and below (or equal to) one that is allowed."""
    if key.casefold() not in _HOST_PATHS or value in (None, ""):
        return
    if not isinstance(value, str):
        raise _refused(key, value, "not a string")
    path = PurePosixPath(value)
    inside = any(path.is_relative_to(PurePosixPath(allowed)) for allowed in rules.allowed_paths)
    if "\0" in value or ".." in path.parts or not path.is_absolute() or not inside:
        raise _refused(key, value, f"the path must lie under {', '.join(rules.allowed_paths) or 'nothing'}")
    if any(path.is_relative_to(PurePosixPath(folder)) for folder in rules.private):
        raise _refused(key, value, "no definition may write into this folder")


def _refused(key: str, value: Json, cause: str) -> CniError:
    return CniError(Code.CONFIG, f"cannot use key {key!r} with value {describe(value)}: {cause}")
