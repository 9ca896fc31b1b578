# SPDX-License-Identifier: Apache-2.0
"""The networks that cluster tests attach pods to, as values: what a user would write, with lease folders of the node's.

Three kinds of wire (a bridge, a macvlan on the node's second link, a list of plugins) in three CNI versions, because a
real node has such a mixture. Nothing here starts or applies anything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
STORAGE_LINK = "store0"


def node_conflist(version: str, leases: Path) -> dict[str, Any]:
    """Return the node's configuration: metacni, with a bridge as the default network."""
    default = bridge("cni0", "10.88.0.0/24", leases) | {
        "cniVersion": version,
        "name": "pods",
        "isDefaultGateway": True,
    }
    own = {"type": "metacni", "capabilities": {ANNOTATIONS: True}, "delegates": [default]}
    return {"cniVersion": version, "name": "node", "plugins": [own]}


def call_config(conflist: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return what a runtime hands over on stdin for a pod with these annotations."""
    head = {"cniVersion": conflist["cniVersion"], "name": conflist["name"]}
    return {**conflist["plugins"][0], **head, "runtimeConfig": {ANNOTATIONS: dict(annotations)}}


def bridge(name: str, subnet: str, leases: Path) -> dict[str, Any]:
    """Return a bridge plugin's configuration."""
    return {"type": "bridge", "bridge": name, "ipam": host_local(subnet, leases)}


def host_local(subnet: str, leases: Path) -> dict[str, Any]:
    """Return host-local's configuration, whose leases stand below the node's folder."""
    return {"type": "host-local", "dataDir": str(leases), "ranges": [[{"subnet": subnet}]]}


def lan(leases: Path) -> dict[str, Any]:
    """Return a bridge, in an old version."""
    return {"cniVersion": "0.4.0", **bridge("lan0", "10.10.0.0/24", leases)}


def storage(leases: Path) -> dict[str, Any]:
    """Return a macvlan on the node's second link."""
    ipam = host_local("10.20.0.0/24", leases)
    return {"cniVersion": "1.0.0", "type": "macvlan", "master": STORAGE_LINK, "mode": "bridge", "ipam": ipam}


def lab(leases: Path) -> dict[str, Any]:
    """Return a list of two plugins that takes requests for addresses and a MAC."""
    first = {**bridge("lab0", "10.30.0.0/24", leases), "capabilities": {"ips": True, "mac": True}}
    return {
        "cniVersion": "1.0.0",
        "plugins": [first, {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}}],
    }


def definition(namespace: str, name: str, config: object) -> dict[str, Any]:
    """Return a NetworkAttachmentDefinition; a `config` that is text stands there as it is."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"config": config if isinstance(config, str) else json.dumps(config)},
    }
