# SPDX-License-Identifier: Apache-2.0
"""The pod's `k8s.v1.cni.cncf.io/networks` annotation, read into typed selections.

Both forms of the standard are read here and nowhere else. Every key of v1.3 is checked before anything is looked up
or run; a key that is known but not carried out is refused. This module must not resolve definitions or name interfaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from metacni.cni import jsontext, keys, names
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.jsontext import Json
from metacni.cni.names import IfName, Namespace
from metacni.core import requested

ANNOTATION: Final = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK_ANNOTATION: Final = "v1.multus-cni.io/default-network"
MAX_ANNOTATION: Final = 64 * 1024  # bytes; Kubernetes itself allows 256 KiB for all annotations of an object
MAX_NETWORKS: Final = 32
_NOT_CARRIED_OUT: Final = ("deviceID", "ipam-claim-reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSelection:
    """One element of the annotation: which network, and what the pod asks of it."""

    namespace: Namespace
    name: str
    interface: IfName | None = None
    capability_args: Mapping[str, Json]
    cni_args: Mapping[str, Json]
    default_route: tuple[IPv4Address | IPv6Address, ...] | None = None
    """None: the key is absent; empty: this network keeps the default route that its plugin installs (C51)."""

    @property
    def network(self) -> str:
        """The name under which messages and the status speak of it (C59)."""
        return f"{self.namespace}/{self.name}"


def from_annotations(annotations: Mapping[str, str], pod_namespace: Namespace) -> tuple[NetworkSelection, ...]:
    """What the annotations of a pod select; an absent annotation selects nothing (C20)."""
    if wanted := annotations.get(DEFAULT_NETWORK_ANNOTATION):
        raise CniError(
            Code.UNSUPPORTED_FIELD,
            f"cannot use annotation {DEFAULT_NETWORK_ANNOTATION} with value {excerpt(wanted)!r}: not carried out yet",
            "remove the annotation; the default network is the node's",
        )
    return parse(annotations.get(ANNOTATION, ""), pod_namespace)


def parse(annotation: str, pod_namespace: Namespace) -> tuple[NetworkSelection, ...]:
    """The selections of one annotation value, in its order."""
    try:
        return _parse(annotation, pod_namespace)
    except CniError as error:
        raise error.within(f"annotation {ANNOTATION}") from error


def _parse(annotation: str, pod_namespace: Namespace) -> tuple[NetworkSelection, ...]:
    if (size := len(annotation.encode(errors="surrogatepass"))) > MAX_ANNOTATION:
        raise CniError(Code.CONFIG, f"cannot read {size} bytes: the limit is {MAX_ANNOTATION}")
    text = annotation.strip()
    if text in ("", "null"):  # C20, C25
        return ()
    is_json = any(mark in text for mark in '[{"')  # C21
    selections = _json_form(text, pod_namespace) if is_json else _comma_form(text, pod_namespace)
    _check_gateways(selections)
    return selections


def _check_count(count: int) -> None:
    if count > MAX_NETWORKS:
        raise CniError(Code.CONFIG, f"cannot attach {count} networks: the limit is {MAX_NETWORKS}")


def _comma_form(text: str, pod_namespace: Namespace) -> tuple[NetworkSelection, ...]:
    items = text.split(",")
    _check_count(len(items))
    return tuple(_item(item.strip(), pod_namespace) for item in items)


def _item(item: str, pod_namespace: Namespace) -> NetworkSelection:
    """`[namespace/]name[@interface]` (C22, C23)."""
    if not item:
        raise CniError(Code.CONFIG, "cannot read an empty item: a network's name stands between two commas")
    path, at, interface = item.partition("@")
    head, slash, tail = path.partition("/")
    namespace, name = (head.strip(), tail.strip()) if slash else (None, head.strip())
    if "/" in tail or "@" in interface:
        raise CniError(Code.CONFIG, f"cannot read {excerpt(item)!r}: the form is [namespace/]name[@interface]")
    return NetworkSelection(
        namespace=pod_namespace if namespace is None else _namespace(namespace),
        name=names.dns_label(name, "network name"),
        interface=_interface(interface.strip()) if at else None,
        capability_args={},
        cni_args={},
    )


def _json_form(text: str, pod_namespace: Namespace) -> tuple[NetworkSelection, ...]:
    value = jsontext.loads(text)
    if not isinstance(value, list):
        raise CniError(Code.DECODE, f"cannot read {excerpt(text, 80)!r}: not a list of networks")
    _check_count(len(value))
    return tuple(_numbered(position, element, pod_namespace) for position, element in enumerate(value, start=1))


def _numbered(position: int, element: Json, pod_namespace: Namespace) -> NetworkSelection:
    if not isinstance(element, dict):
        raise CniError(Code.DECODE, f"cannot read element {position}: not an object")
    try:
        return _element(element, pod_namespace)
    except CniError as error:
        raise error.within(f"element {position}") from error


def _element(element: Mapping[str, Json], pod_namespace: Namespace) -> NetworkSelection:
    """One element of the JSON form (C28-C40); unknown keys are ignored (C25)."""
    _refuse_not_carried_out(element)
    namespace = keys.text(element, "namespace")
    interface = keys.text(element, "interface") or keys.text(element, "interfaceRequest")  # C29
    return NetworkSelection(
        namespace=_namespace(namespace) if namespace else pod_namespace,
        name=names.dns_subdomain(keys.text(element, "name"), "network name"),  # C4: dots are fine here
        interface=_interface(interface) if interface else None,
        capability_args=requested.capability_args(element),
        cni_args=keys.mapping(element, "cni-args") or {},
        default_route=requested.default_route(element),
    )


def _refuse_not_carried_out(element: Mapping[str, Json]) -> None:
    for key in _NOT_CARRIED_OUT:
        if value := keys.text(element, key):
            raise CniError(
                Code.UNSUPPORTED_FIELD, f"cannot use key {key!r} with value {excerpt(value)!r}: not carried out yet"
            )


def _namespace(text: str) -> Namespace:
    return names.Namespace(names.dns_label(text, "namespace"))


def _interface(text: str) -> IfName:
    """A requested name: the same rule as CNI_IFNAME's, but the fault is the pod's and not the caller's (code 7)."""
    try:
        return names.interface_name(text)
    except CniError as error:
        raise CniError(Code.CONFIG, error.msg, error.details) from error


def _check_gateways(selections: Sequence[NetworkSelection]) -> None:
    """At most one gateway of each family over all elements (C49)."""
    gateways = [gateway for selection in selections for gateway in selection.default_route or ()]
    for version in (4, 6):
        same = [str(gateway) for gateway in gateways if gateway.version == version]
        if len(same) > 1:
            raise CniError(
                Code.CONFIG,
                f"cannot set default-route to {', '.join(same)}: one IPv{version} gateway is possible, not {len(same)}",
            )
