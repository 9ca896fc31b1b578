# SPDX-License-Identifier: Apache-2.0
"""The complete plan of one sandbox, settled before anything runs, and its form in the journal.

Every later verb works from the recorded plan: an annotation or definition that has changed since cannot reach a pod
that lives (B24). Building it validates everything; executing it decides nothing. Must not know how it is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from metacni.cni import arguments, config, keys, names
from metacni.cni.config import NetworkList
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.names import ContainerId, IfName, Namespace, NetnsPath, NetworkName, PodName, PodUid
from metacni.core import capabilities, naming, nodeconf
from metacni.core import owner as owners
from metacni.core.nodeconf import NodeConfig
from metacni.core.owner import Owner
from metacni.core.selection import NetworkSelection

_BY: Final = {True: "agent", False: "program"}
FORM: Final = 1  # of the journal: another version of metacni may have to undo what this one wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The pod that the sandbox belongs to; `uid` is empty where the runtime did not say.

    A `static` pod stands in the API under another UID than the one the runtime knows.
    """

    namespace: Namespace
    name: PodName
    uid: PodUid
    static: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One network on one interface, with all that its plugins will be told."""

    network: str
    """Its name in status and messages: `namespace/definition`, or the CNI name of a network of the node (C59)."""
    ifname: IfName
    config: NetworkList
    capability_args: Mapping[str, Json]
    cni_args: str
    """The text of CNI_ARGS."""
    default: bool
    default_route: tuple[IPv4Address | IPv6Address, ...] | None
    owners: tuple[Owner, ...] = ()
    """Who carries out each plugin; a program, where it is not said."""

    def owner(self, index: int) -> Owner:
        """Who carries out plugin `index`."""
        return self.owners[index] if index < len(self.owners) else owners.PROGRAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that an ADD will do, in order; the default network is the first attachment (B36)."""

    container_id: ContainerId
    netns: NetnsPath
    pod: Pod | None
    node_network: NetworkName
    version: str
    primary_only: bool
    search_path: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    prev_result: Json


def build(
    *,
    environment: Environment,
    node: NodeConfig,
    pod: Pod | None,
    selections: Sequence[NetworkSelection],
    definitions: Sequence[NetworkList],
    primary_only: bool,
) -> Plan:
    """Settle everything; `definitions` are the selections' networks, in the same order."""
    ifnames = naming.interface_names(
        [*(network.name for network in node.delegates), *(selection.network for selection in selections)],
        [*(None for _ in node.delegates), *(selection.interface for selection in selections)],
        environment.ifname,
    )
    own, selected = ifnames[: len(node.delegates)], ifnames[len(node.delegates) :]
    return Plan(
        container_id=environment.container_id,
        netns=environment.netns,
        pod=pod,
        node_network=node.name,
        version=node.version,
        primary_only=primary_only,
        search_path=nodeconf.search_path(node, environment.path),
        attachments=(
            *(
                _of_node(*chosen, node=node, environment=environment)
                for chosen in zip(node.delegates, own, strict=True)
            ),
            *(
                _of_selection(*chosen, node=node, environment=environment)
                for chosen in zip(selections, definitions, selected, strict=True)
            ),
        ),
        prev_result=node.prev_result,
    )


def warnings(
    node: NodeConfig, selections: Sequence[NetworkSelection], definitions: Sequence[NetworkList]
) -> tuple[str, ...]:
    """What a lenient node lets pass where the standard would fail, for an Event (C41)."""
    if node.strict:
        return ()
    pairs = zip(selections, definitions, strict=True)
    found = ((selection, capabilities.unserved(selection, network)) for selection, network in pairs)
    return tuple(
        f"network {selection.network!r} may pass over {', '.join(missing)}: no plugin of it declares that capability"
        for selection, missing in found
        if missing
    )


def to_json(plan: Plan) -> dict[str, Json]:
    """The plan for the journal; `from_json` gives an equal one back, key order and number formats included."""
    pod = plan.pod
    return {
        "form": FORM,
        "containerID": plan.container_id,
        "netns": plan.netns,
        "pod": None if pod is None else _pod_to_json(pod),
        "nodeNetwork": plan.node_network,
        "version": plan.version,
        "primaryOnly": plan.primary_only,
        "searchPath": [*plan.search_path],
        "attachments": [_attachment_to_json(item) for item in plan.attachments],
        "prevResult": plan.prev_result,
    }


def from_json(body: Mapping[str, Json]) -> Plan:
    """The plan that `to_json` wrote; a form that is not known is refused rather than guessed at."""
    form = body.get("form")
    if form != FORM:
        raise CniError.decode("plan", f"form {describe(form)} is not {FORM}")
    return Plan(
        container_id=ContainerId(keys.text(body, "containerID")),
        netns=NetnsPath(keys.text(body, "netns")),
        pod=_pod(keys.mapping(body, "pod")),
        node_network=NetworkName(keys.text(body, "nodeNetwork")),
        version=keys.text(body, "version"),
        primary_only=keys.flag(body, "primaryOnly"),
        search_path=keys.texts(body, "searchPath"),
        attachments=tuple(_attachment(item) for item in keys.items(body, "attachments") or ()),
        prev_result=body.get("prevResult"),
    )


def pod_of(args: Sequence[tuple[str, str]]) -> Pod | None:
    """The pod that CNI_ARGS name; None for a call by hand, which names none (D30)."""
    found = dict(args)
    namespace, name = found.get("K8S_POD_NAMESPACE"), found.get("K8S_POD_NAME")
    if not namespace or not name:
        return None
    try:
        return Pod(
            namespace=Namespace(names.dns_label(namespace, "K8S_POD_NAMESPACE")),
            name=PodName(names.dns_subdomain(name, "K8S_POD_NAME")),
            uid=PodUid(found.get("K8S_POD_UID", "")),
        )
    except CniError as error:
        raise CniError(Code.ENVIRONMENT, error.msg, error.details) from None


def _of_node(network: NetworkList, ifname: IfName, *, node: NodeConfig, environment: Environment) -> Attachment:
    """A network of the node's; the first is the default network, and the runtime's offer is for it alone (B43)."""
    default = ifname == environment.ifname
    arguments_for = capabilities.default_arguments if default else capabilities.further_arguments
    return Attachment(
        network=network.name,
        ifname=ifname,
        config=network,
        capability_args=capabilities.granted(node.runtime_config, network) if default else {},
        cni_args=arguments.render(arguments_for(environment.args)),
        default=default,
        default_route=None,
    )


def _of_selection(
    selection: NetworkSelection, network: NetworkList, ifname: IfName, *, node: NodeConfig, environment: Environment
) -> Attachment:
    if node.strict:
        capabilities.require_served(selection, network)
    return Attachment(
        network=selection.network,
        ifname=ifname,
        config=capabilities.with_cni_args(network, selection.cni_args),
        capability_args=capabilities.granted(selection.capability_args, network),
        cni_args=arguments.render(capabilities.selected_arguments(environment.args, selection, network)),
        default=False,
        default_route=selection.default_route,
    )


def _attachment_to_json(item: Attachment) -> dict[str, Json]:
    gateways = item.default_route
    return {
        "network": item.network,
        "ifname": item.ifname,
        "config": config.to_json(item.config),
        "capabilityArgs": dict(item.capability_args),
        "cniArgs": item.cni_args,
        "default": item.default,
        "defaultRoute": None if gateways is None else [str(gateway) for gateway in gateways],
        "owners": [_owner_to_json(one) for one in item.owners],
    }


def _attachment(item: Json) -> Attachment:
    if not isinstance(item, dict):
        raise CniError.decode("plan", "an attachment is not an object")
    return Attachment(
        network=keys.text(item, "network"),
        ifname=IfName(keys.text(item, "ifname")),
        config=config.parse(keys.mapping(item, "config") or {}),
        capability_args=keys.mapping(item, "capabilityArgs") or {},
        cni_args=keys.text(item, "cniArgs"),
        default=keys.flag(item, "default"),
        default_route=_gateways(item),
        owners=tuple(_owner(one) for one in keys.items(item, "owners") or ()),
    )


def _owner_to_json(one: Owner) -> Json:
    return {"by": _BY[one.resident], "why": one.why} if one.why else {"by": _BY[one.resident]}


def _owner(item: Json) -> Owner:
    if not isinstance(item, dict) or item.get("by") not in _BY.values():
        raise CniError.decode("plan", f"{describe(item)} is no owner")
    return Owner(resident=item["by"] == _BY[True], why=keys.text(item, "why"))


def _gateways(item: Mapping[str, Json]) -> tuple[IPv4Address | IPv6Address, ...] | None:
    if item.get("defaultRoute") is None:
        return None
    try:
        return tuple(map(ip_address, keys.texts(item, "defaultRoute")))
    except ValueError as error:
        raise CniError.decode("plan", str(error)) from None


def _pod(body: Mapping[str, Json] | None) -> Pod | None:
    if body is None:
        return None
    return Pod(
        namespace=Namespace(keys.text(body, "namespace")),
        name=PodName(keys.text(body, "name")),
        uid=PodUid(keys.text(body, "uid")),
        static=keys.flag(body, "static"),
    )


def _pod_to_json(pod: Pod) -> dict[str, Json]:
    return {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid, "static": pod.static}
