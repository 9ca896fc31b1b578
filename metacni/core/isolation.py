# SPDX-License-Identifier: Apache-2.0
"""Which namespaces' definitions a pod may use: Multus's `namespaceIsolation`, off unless the node says so (D14).

A definition that is not allowed fails the pod's ADD; it is never left out silently (C19).
"""

from metacni.cni.errors import CniError, Code
from metacni.cni.names import Namespace
from metacni.core.nodeconf import NodeConfig
from metacni.core.selection import NetworkSelection


def check(selection: NetworkSelection, pod_namespace: Namespace, node: NodeConfig) -> None:
    """Refuse a definition of a namespace that is neither the pod's own nor open to all (D15)."""
    if not node.namespace_isolation or selection.namespace in {pod_namespace, *node.global_namespaces}:
        return
    raise CniError(
        Code.CONFIG,
        f"cannot use network {selection.network!r} in namespace {pod_namespace!r}: namespaceIsolation is on",
        f"open namespaces: {', '.join(sorted(node.global_namespaces))}",
    )
