# SPDX-License-Identifier: Apache-2.0
"""examples/first-pod on a real node, as the README says, from the very files that a newcomer applies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.cluster import NODE_NAME
from tests.cluster.home import ROOT
from tests.cluster.image import IMAGE
from tests.cluster.networks import STATUS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.home import Home

EXAMPLE = ROOT / "examples" / "first-pod"


def with_leases(ipam_owner: dict[str, Any], leases: Path) -> dict[str, Any]:
    """Return a bridge's configuration whose leases stand below the test node's folder, not in the machine's own."""
    return {**ipam_owner, "ipam": {**ipam_owner["ipam"], "dataDir": str(leases)}}


@pytest.mark.part("bridge", "host-local")
def test_the_first_pod_is_what_its_readme_says(home: Home) -> None:
    """The five steps give a pod with eth0 and net1, a status that lists both, an Event, and nothing afterwards."""
    cluster = home.cluster
    conflist = json.loads((EXAMPLE / "00-metacni.conflist").read_text())
    own = conflist["plugins"][0]
    own["delegates"] = [with_leases(own["delegates"][0], cluster.leases)]
    cluster.write_conf(conflist)
    network = yaml.safe_load((EXAMPLE / "network.yaml").read_text())
    network["spec"]["config"] = json.dumps(with_leases(json.loads(network["spec"]["config"]), cluster.leases))
    pod = yaml.safe_load((EXAMPLE / "pod.yaml").read_text())
    pod["spec"].update(nodeName=NODE_NAME, terminationGracePeriodSeconds=1)
    pod["spec"]["containers"][0].update(image=IMAGE, imagePullPolicy="Never")

    cluster.apply(network, pod)
    cluster.wait_pod_running("first")
    addresses = cluster.exec("first", "ip", "addr")
    assert "inet 10.88.0." in addresses
    assert "inet 10.10.0." in addresses
    cluster.wait_until("the status is there", lambda: STATUS in annotations_of_first(home))
    assert [entry["interface"] for entry in json.loads(annotations_of_first(home)[STATUS])] == ["eth0", "net1"]
    cluster.wait_until("the Event is there", lambda: "AddedInterface" in cluster.events("first"))
    cluster.delete_pod("first")
    assert home.leftovers() == []
    cluster.kubectl("delete", "-f", str(EXAMPLE / "network.yaml"))


def annotations_of_first(home: Home) -> dict[str, str]:
    """Return the first pod's annotations."""
    found: dict[str, str] = home.cluster.get("pod", "first")["metadata"]["annotations"]
    return found
