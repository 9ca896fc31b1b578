# SPDX-License-Identifier: Apache-2.0
"""The test bed works before metacni has any part in it: plain pods on the reference bridge and host-local."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import pod

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def reference_network(cluster: Cluster) -> dict[str, object]:
    """Return a default network of reference plugins, whose leases are the node's own."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": {"type": "host-local", "subnet": "10.99.0.0/24", "dataDir": str(cluster.leases)},
    }
    return {"cniVersion": cluster.cni_version, "name": "plain", "plugins": [bridge]}


@pytest.mark.part("bridge", "host-local")
def test_a_pod_on_reference_plugins_runs_talks_and_goes(cluster: Cluster) -> None:
    """A pod gets an address of the default network, answers a second pod, and leaves no lease, link or namespace."""
    cluster.write_conf(reference_network(cluster))
    cluster.wait_ready()
    cluster.apply(pod("one"), pod("two"))
    addresses = [cluster.wait_pod_running(name)["status"]["podIP"] for name in ("one", "two")]
    assert sorted(addresses) == ["10.99.0.2", "10.99.0.3"]
    netns = cluster.pod_netns("one")
    assert netns.is_relative_to(cluster.folder)
    eth0 = json.loads(cluster.in_pod("one", "ip", "-j", "-4", "addr", "show", "eth0"))[0]
    assert eth0["addr_info"][0]["local"] == addresses[0]
    assert "1 packets received" in cluster.exec("one", "ping", "-c", "1", "-w", "5", addresses[1])

    cluster.delete_pod("one")
    cluster.delete_pod("two")
    assert cluster.node.links() == {"cni0"}
    assert {entry.name for entry in (cluster.leases / "plain").iterdir()} <= {"lock", "last_reserved_ip.0"}
    assert not netns.exists()


def test_a_static_pod_and_a_pod_of_the_host_network_run_too(cluster: Cluster) -> None:
    """The kubelet takes pods from files, and a pod without a network of its own has the node's address."""
    cluster.write_conf(reference_network(cluster))
    cluster.wait_ready()
    (cluster.folder / "manifests" / "static.yaml").write_text(json.dumps(pod("static")))
    cluster.apply(pod("host", host_network=True))
    assert cluster.wait_pod_running("host")["status"]["podIP"] == "10.98.0.2"
    cluster.wait_until(
        "the static pod is shown", lambda: "static-node1" in cluster.kubectl("get", "pods", "-o", "name")
    )
    assert cluster.wait_pod_running("static-node1")["status"]["podIP"].startswith("10.99.0.")


def test_an_outage_of_the_api_server_begins_and_ends(cluster: Cluster) -> None:
    """The API server can be taken away from a running node and given back, with what it knew."""
    cluster.write_conf(reference_network(cluster))
    cluster.wait_ready()
    cluster.apply(pod("staying"))
    cluster.wait_pod_running("staying")
    cluster.stop_apiserver()
    with pytest.raises(AssertionError, match="refused"):
        cluster.kubectl("get", "pods")
    cluster.start_apiserver()
    assert cluster.wait_pod_running("staying")["status"]["containerStatuses"][0]["restartCount"] == 0
