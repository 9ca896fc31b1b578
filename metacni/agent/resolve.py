# SPDX-License-Identifier: Apache-2.0
"""From a call to a complete plan: whose pod it is, which networks it asks for, what they say (decision 8).

All reading happens here, before anything runs. The annotations come with the call where the runtime hands them over;
the pod is asked for live only when neither the call nor the cache has it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from metacni.agent import confdir
from metacni.agent.settings import Settings
from metacni.cni.config import NetworkList
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.core import definition, isolation, merge, nodeconf, plan, selection
from metacni.core.nodeconf import NodeConfig
from metacni.core.plan import Plan, Pod
from metacni.core.selection import NetworkSelection
from metacni.kube.errors import KubeError
from metacni.kube.source import NetworkDefinition, PodInfo, Source

CONFIG_SOURCE = (
    "kubernetes.io/config.source"  # on a static pod's annotations: where the kubelet read it; "api" for all others
)


def plan_for(
    source: Source, settings: Settings, environment: Environment, config: NodeConfig, parent: str
) -> tuple[Plan, tuple[str, ...]]:
    """The complete plan of an ADD, everything read, checked and decided; and what a lenient node lets pass (C41).

    Args:
        source: where definitions and pods come from.
        settings: the agent's own.
        environment: the CNI_* variables of the call.
        config: what the runtime handed over on stdin.
        parent: name of the process that called the shim; CRI-O makes every address a pod IP (decision 9).

    Raises:
        UnavailableError: something cannot be read now.
        CniError: the first thing that is missing or wrong; nothing has been touched.
    """
    pod = plan.pod_of(environment.args)
    selections: tuple[NetworkSelection, ...] = ()
    if pod is not None:
        asked = annotations(source, pod, config)
        selections = selection.from_annotations(asked, pod.namespace)
        pod = replace(pod, static=_static(source.pod(pod.namespace, pod.name), asked))
    definitions = tuple(_definition(source, settings, config, one, pod) for one in selections)
    planned = plan.build(
        environment=environment,
        node=config,
        pod=pod,
        selections=selections,
        definitions=definitions,
        primary_only=_primary_only(settings, config, parent),
    )
    return planned, plan.warnings(config, selections, definitions)


def annotations(source: Source, pod: Pod, config: NodeConfig) -> Mapping[str, str]:
    """The pod's annotations: from the call, else from the cache, else from one live read.

    Raises:
        CniError: code 11, the pod cannot be read now, or the API knows only another pod of that name.
    """
    handed = nodeconf.pod_annotations(config)
    known = source.pod(pod.namespace, pod.name)
    if handed is not None and (known is None or _same(pod, known, handed)):
        return handed
    if known is None or not _same(pod, known, handed or known.annotations):
        known = _live(source, pod)  # the cache may only be late: a pod that was just made again under its name
        if not _same(pod, known, handed or known.annotations):
            raise CniError(
                Code.TRY_AGAIN,
                f"cannot attach: the pod of that name has UID {known.uid!r}, the call is for {pod.uid!r}",
                "the pod was deleted and made again meanwhile; the runtime will give this sandbox up",
            )
    return known.annotations if handed is None else handed


def _same(pod: Pod, known: PodInfo, seen: Mapping[str, str]) -> bool:
    """A static pod stands in the API under its mirror's UID, so that is not compared."""
    return _static(known, seen) or not pod.uid or not known.uid or known.uid == pod.uid


def _static(known: PodInfo | None, seen: Mapping[str, str]) -> bool:
    return (known is not None and known.static) or seen.get(CONFIG_SOURCE, "api") != "api"


def _live(source: Source, pod: Pod) -> PodInfo:
    try:
        found = source.pod_live(pod.namespace, pod.name)
    except KubeError as cause:
        raise UnavailableError(
            f"cannot read the pod: {cause}",
            "a node configuration with the capability io.kubernetes.cri.pod-annotations rarely needs the API server",
        ) from cause
    if found is None:
        raise CniError(Code.TRY_AGAIN, "cannot read the pod: there is none of that name")
    return found


def _definition(
    source: Source, settings: Settings, config: NodeConfig, asked: NetworkSelection, pod: Pod | None
) -> NetworkList:
    """One selection's configuration, allowed and checked; errors name the network."""
    try:
        if pod is not None:
            isolation.check(asked, pod.namespace, config)
        found = _read(source, asked)
        network = (
            definition.parse(found.config, nad_name=found.name)
            if found.config.strip()
            else confdir.network(Path(config.conf_dir), found.name)
        )
        rules = definition.Rules(
            allowed_paths=settings.allowed_paths,
            allowed_types=settings.allowed_types,
            namespace=asked.namespace,
            private=(str(settings.state_dir), str(settings.cni_conf_dir), config.conf_dir, config.bin_dir),
        )
        definition.check_reserved(network, rules)
    except (MissingNetworkError, UnavailableError):  # they name it themselves, and `within` would lose their type
        raise
    except CniError as fault:
        raise fault.within(f"network {asked.network!r}") from fault
    return network


def _read(source: Source, asked: NetworkSelection) -> NetworkDefinition:
    try:
        found = source.definition(asked.namespace, asked.name)
    except KubeError as cause:
        raise UnavailableError(f"network {asked.network!r}: cannot read its definition: {cause}") from cause
    if found is None:
        raise MissingNetworkError(asked.network)
    return found


class UnavailableError(CniError):
    """Something could not be read that may well be there: the same call can succeed later."""

    def __init__(self, msg: str, details: str = "") -> None:
        super().__init__(Code.TRY_AGAIN, msg, details)


class MissingNetworkError(CniError):
    """A pod asks for a definition that does not exist (C28); the pod's Event has a reason of its own for it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            Code.CONFIG,
            f"network {name!r}: there is no NetworkAttachmentDefinition of that name",
            f"create it, or correct the pod's annotation {selection.ANNOTATION}",
        )


def _primary_only(settings: Settings, config: NodeConfig, parent: str) -> bool:
    lists = confdir.runtime_lists(settings.cni_conf_dir) if settings.result_mode == "auto" else ()
    return merge.primary_only(
        mode=settings.result_mode, node_type=config.type, node_network=config.name, parent=parent, lists=lists
    )
