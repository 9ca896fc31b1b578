# SPDX-License-Identifier: Apache-2.0
"""The configurations that the tests attach: reference plugins over host-local, and the scripted plugin."""

from typing import Any


def bridge(subnet: str, *, name: str, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """The reference bridge with host-local; `more` are further keys of the bridge's.

    With an address of its own the bridge keeps its MAC when ports come and go, and the reference CHECK insists on that.
    """
    ranges = [[{"subnet": one}] for one in subnet.split()]
    return {
        "cniVersion": version,
        "type": "bridge",
        "bridge": name,
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": ranges},
    } | more


def macvlan(subnet: str, *, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """The reference macvlan on the node's second NIC, with host-local."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    return {"cniVersion": version, "type": "macvlan", "master": "eth1", "mode": "bridge", "ipam": ipam} | more


def scripted(version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """The plugin of plugins/scripted.py."""
    return {"cniVersion": version, "type": "scripted"} | more


def node_config(version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """What the runtime hands over: metacni over a bridge with a default gateway."""
    default = bridge("10.88.0.0/24", name="cni0", version=version, isDefaultGateway=True) | {"name": "pod-network"}
    return {"cniVersion": version, "name": "node", "type": "metacni", "delegates": [default]} | more
