# SPDX-License-Identifier: Apache-2.0
"""What the runtime hands over on stdin: the node's own configuration, in Multus's keys with Multus's meaning.

A key that is known but not carried out is refused with code 2 rather than ignored. Settings of the agent do not stand
here (they are in its `--config`), and this module must not resolve definitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from metacni.cni import config, jsontext, keys, names, versions
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.jsontext import Json, describe
from metacni.cni.names import NetworkName, PluginType
from metacni.core import capabilities, definition

OWN_TYPE: Final = "metacni"
POD_ANNOTATIONS: Final = "io.kubernetes.cri.pod-annotations"
VALID_ATTACHMENTS: Final = ("cni.dev/valid-attachments", "cni.dev/attachments")  # B7: libcni writes both
DEFAULT_CONF_DIR: Final = "/etc/cni/multus/net.d"  # D3
DEFAULT_BIN_DIR: Final = "/opt/cni/bin"  # D5
DEFAULT_MULTUS_NAMESPACE: Final = "kube-system"  # D17

_CARRIED_OUT: Final = frozenset(
    key.casefold()
    for key in (
        *("name", "type", "cniVersion", "capabilities", "runtimeConfig", "prevResult", "args", *VALID_ATTACHMENTS),
        *("delegates", "confDir", "binDir", "namespaceIsolation", "globalNamespaces", "multusNamespace"),
    )
)
_NOT_YET: Final = frozenset(
    key.casefold()
    for key in (
        *("clusterNetwork", "defaultNetworks", "systemNamespaces", "auxiliaryCNIChainName", "readinessindicatorfile"),
        *("kubeconfig", "cniDir", "logFile", "logLevel", "logToStderr", "logOptions", "retryDeleteOnError"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The node's configuration, checked; `raw` is all that stood on stdin."""

    name: NetworkName
    type: PluginType
    version: str
    delegates: tuple[NetworkList, ...]
    conf_dir: str
    bin_dir: str
    namespace_isolation: bool
    global_namespaces: frozenset[str]
    multus_namespace: str
    runtime_config: Mapping[str, Json]
    prev_result: dict[str, Json] | None
    raw: Mapping[str, Json]

    @property
    def strict(self) -> bool:
        """Whether the standard holds where Multus is lenient (decided by the type: C41)."""
        return self.type == OWN_TYPE


def parse(stdin: bytes) -> NodeConfig:
    """Read stdin; what is wrong comes out in the order of every Go plugin: JSON, name, version, the rest (A7)."""
    body = jsontext.loads_object(stdin, "network configuration")
    name = names.network_name(keys.text(body, "name"))
    version = versions.known(keys.text(body, "cniVersion"))
    own = _own_type(body)
    _refuse_keys(body, own)
    return NodeConfig(
        name=name,
        type=own,
        version=version,
        delegates=_delegates(body),
        conf_dir=_directory(body, "confDir", DEFAULT_CONF_DIR),
        bin_dir=_directory(body, "binDir", DEFAULT_BIN_DIR),
        namespace_isolation=keys.flag(body, "namespaceIsolation"),
        global_namespaces=_global_namespaces(keys.text(body, "globalNamespaces")),
        multus_namespace=names.dns_label(
            keys.text(body, "multusNamespace") or DEFAULT_MULTUS_NAMESPACE, "multusNamespace"
        ),
        runtime_config=capabilities.documented(keys.mapping(body, "runtimeConfig") or {}),
        prev_result=keys.mapping(body, "prevResult"),
        raw=body,
    )


def search_path(node: NodeConfig, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """Where plugins are looked for: the node's own folder, then the runtime's (B1)."""
    return tuple(dict.fromkeys((node.bin_dir, *inherited)))


def valid_attachments(raw: Mapping[str, Json]) -> frozenset[tuple[str, str]]:
    """What GC must leave alone, as (container id, interface).

    null is Go's empty list, but an absent key is no list at all and must not delete everything (A31, A32). Should the
    two keys differ, what either calls valid stays.
    """
    present = [key for key in VALID_ATTACHMENTS if key in raw]
    if not present:
        raise CniError(
            Code.CONFIG, f"cannot collect garbage without key {VALID_ATTACHMENTS[0]!r}: nothing says what is valid"
        )
    return frozenset(_attachment(key, item) for key in present for item in keys.items(raw, key) or ())


def pod_annotations(node: NodeConfig) -> Mapping[str, str] | None:
    """The pod's annotations as the runtime handed them over; None when it did not (G6, G8)."""
    found = keys.mapping(node.runtime_config, POD_ANNOTATIONS)
    if found is None:
        return None
    annotations = {key: value for key, value in found.items() if isinstance(value, str)}
    if len(annotations) != len(found):
        raise CniError.decode(f"key {POD_ANNOTATIONS!r}", "not every annotation is a string")
    return annotations


def _own_type(body: Mapping[str, Json]) -> PluginType:
    text = keys.text(body, "type")
    if not text and keys.find(body, "plugins") is not None:  # somebody calls us by hand, with a file of the runtime's
        raise CniError(
            Code.CONFIG,
            "cannot use a whole list: key 'type' is missing and key 'plugins' is there",
            "a runtime hands over one plugin of its list at a time, with the list's name and cniVersion added",
        )
    return names.plugin_type(text)


def _refuse_keys(body: Mapping[str, Json], own: PluginType) -> None:
    """Keys that would have no effect: Multus's always, unless they ask for nothing; unknown ones when strict (D1)."""
    for key, value in body.items():
        folded = key.casefold()
        if folded in _NOT_YET and value not in (None, False, "", [], {}):
            raise CniError(Code.UNSUPPORTED_FIELD, f"cannot use {_shown(key, value)}: not carried out yet")
        if own == OWN_TYPE and folded not in _CARRIED_OUT | _NOT_YET:
            raise CniError(  # without its value: nobody knows whether that is a secret
                Code.UNSUPPORTED_FIELD, f"cannot use key {excerpt(key)!r}: unknown under type {OWN_TYPE!r}"
            )


def _shown(key: str, value: Json) -> str:
    return f"key {key!r} with value {describe(value)}"


def _delegates(body: Mapping[str, Json]) -> tuple[NetworkList, ...]:
    items = keys.items(body, "delegates")
    if not items:
        raise CniError(Code.CONFIG, "cannot find a default network: key 'delegates' is missing or empty")
    return tuple(_delegate(index, item) for index, item in enumerate(items))


def _delegate(index: int, item: Json) -> NetworkList:
    if not isinstance(item, dict):
        raise CniError.decode(f"delegate {index}", f"{describe(item)} is not an object")
    try:
        network = config.parse(item)
        definition.check_own_types(network)
    except CniError as error:
        raise error.within(f"delegate {index}") from None
    return network


def _directory(body: Mapping[str, Json], key: str, default: str) -> str:
    path = keys.text(body, key) or default
    if not PurePosixPath(path).is_absolute() or "\0" in path:
        raise CniError(Code.CONFIG, f"cannot use {_shown(key, path)}: not an absolute path")
    return path


def _global_namespaces(text: str) -> frozenset[str]:
    """Setting it replaces the exemption of `default` (D15)."""
    return frozenset(part.strip() for part in text.split(",") if part.strip()) or frozenset({"default"})


def _attachment(key: str, item: Json) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise CniError.decode(f"key {key!r}", f"{describe(item)} is not an object")
    container, interface = keys.text(item, "containerID"), keys.text(item, "ifname")
    if not container or not interface:
        raise CniError.decode(f"key {key!r}", f"{describe(item)} lacks containerID or ifname")
    return container, interface
