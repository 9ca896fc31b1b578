# SPDX-License-Identifier: Apache-2.0
"""From the API server's objects to the few fields that we keep of them.

It exists so that 2,000 definitions cost what their texts cost: everything else (managedFields, kubectl's copy of the
object) is dropped at the border. It must not judge a definition's config or an annotation: that is the core's work.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from metacni.kube.source import NetworkDefinition, PodInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metacni.cni.jsontext import Json

NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"  # C55
DEFINITIONS_PATH = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"  # C1
PODS_PATH = "/api/v1/pods"

_KEPT_DOMAINS = ("k8s.v1.cni.cncf.io/", "v1.multus-cni.io/")
_MIRROR, _SOURCE = "kubernetes.io/config.mirror", "kubernetes.io/config.source"
# C3: a label by the standard, a subdomain (dots) by Kubernetes. Nothing else can exist, so nothing else is asked for:
# a name such as ".." would otherwise become another path.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def possible(namespace: str, name: str) -> bool:
    """Say whether an object of these names can exist at all."""
    return bool(_NAME.fullmatch(namespace) and _NAME.fullmatch(name)) and "." not in namespace


def definition_path(namespace: str, name: str) -> str:
    """Return the API path of one definition."""
    return f"/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}"


def pod_path(namespace: str, name: str) -> str:
    """Return the API path of one pod."""
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def definition(body: Mapping[str, Json]) -> NetworkDefinition | None:
    """Return what is kept of a definition (C2); None if this cannot be one."""
    metadata, spec = body.get("metadata"), body.get("spec")
    namespace, name = _names(metadata)
    config = spec.get("config") if isinstance(spec, dict) else None
    if not name:
        return None
    return NetworkDefinition(
        namespace=namespace,
        name=name,
        config=config if isinstance(config, str) else "",
        annotations=_kept(metadata),
    )


def pod(body: Mapping[str, Json]) -> PodInfo | None:
    """Return what is kept of a pod, whether the whole object came or its metadata only; None if this cannot be one."""
    metadata = body.get("metadata")
    namespace, name = _names(metadata)
    if not name or not isinstance(metadata, dict):
        return None
    every = metadata.get("annotations")
    uid = metadata.get("uid")
    return PodInfo(
        namespace=namespace,
        name=name,
        uid=uid if isinstance(uid, str) else "",
        annotations=_kept(metadata),
        static=isinstance(every, dict) and (_MIRROR in every or every.get(_SOURCE, "api") != "api"),
    )


def _names(metadata: Json) -> tuple[str, str]:
    if not isinstance(metadata, dict):
        return "", ""
    namespace, name = metadata.get("namespace"), metadata.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str):
        return "", ""
    return sys.intern(namespace), name


def _kept(metadata: Json) -> dict[str, str]:
    """Return the network annotations; the status is ours to write, never to read back from a cache (C70)."""
    every = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(every, dict):
        return {}
    return {
        sys.intern(key): value
        for key, value in every.items()
        if key.startswith(_KEPT_DOMAINS) and key != NETWORK_STATUS and isinstance(value, str)
    }
