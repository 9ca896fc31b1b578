# SPDX-License-Identifier: Apache-2.0
"""Whose sandbox a call is for, on a real node: static pods, pods of the host's network, names that are used again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster import networks

if TYPE_CHECKING:
    from tests.cluster.home import Home

pytestmark = pytest.mark.part("bridge", "host-local")


def test_a_static_pod_is_attached_and_its_mirror_gets_the_status(home: Home) -> None:
    """A pod from a file on the node has another UID in the API than on the node; it is served like any other."""
    home.define(lan=networks.lan(home.cluster.leases))
    manifest = home.folder / "manifests" / "static.json"
    manifest.write_text(json.dumps(home.pod("static", "lan")))
    name = "static-node1"
    home.cluster.wait_until("the mirror pod is there", lambda: name in home.cluster.kubectl("get", "pods", "-A"))
    home.wait_running(name)
    kernel = home.interfaces(name)
    assert tuple(kernel) == ("eth0", "net1")
    assert [(entry["name"], entry["ips"]) for entry in home.wait_status(name)] == [
        ("pods", kernel["eth0"]["ips"]),
        (f"{home.namespace}/lan", kernel["net1"]["ips"]),
    ]
    manifest.unlink()
    home.cluster.wait_until("the static pod is gone", lambda: not home.leftovers())


def test_a_pod_of_the_hosts_network_causes_no_call(home: Home) -> None:
    """It runs with the node's address, and neither ADD nor DEL is called for it."""
    calls = home.record_calls()
    body = home.pod("host", "no-such-network")
    body["spec"]["hostNetwork"] = True
    home.cluster.apply(body, home.pod("plain"))
    assert home.wait_running("host")["status"]["podIP"] == "10.98.0.2"
    home.wait_running("plain")
    home.delete_pod("host", "plain")
    lines = calls.read_text().splitlines()
    assert {line.split()[0] for line in lines if "K8S_POD_NAME=plain" in line} == {"ADD", "DEL"}
    assert [line for line in lines if "K8S_POD_NAME=host" in line] == []


def test_a_call_with_a_wrong_pod_uid_is_refused(home: Home) -> None:
    """A late call for a pod that was replaced must not take the networks, or the status, of its successor."""
    home.define(lan=networks.lan(home.cluster.leases))
    uid = home.run_pod("here")["metadata"]["uid"]
    before = home.wait_status("here")
    with home.sandbox("here", "8c7ef9c4-0000-4000-8000-000000000000", "lan") as late:
        refused = late.call("ADD")
        assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, 11)
        assert f"the pod of that name has UID {uid!r}" in json.loads(refused.stdout)["msg"]
        assert late.interfaces() == {}
        late.delete()
    assert home.status("here") == before


def test_a_pod_made_again_under_its_name_gets_its_own_networks_and_status(home: Home) -> None:
    """The old sandbox still goes while the new one comes: neither disturbs the other."""
    home.define_all()
    home.run_pod("again", "lan")
    (old,) = home.namespaces("again")
    home.cluster.kubectl("delete", "pod", "again", "-n", home.namespace, "--force", "--grace-period=0")
    home.cluster.apply(home.pod("again", "storage,lab"))
    home.wait_running("again")
    home.cluster.wait_until("the old sandbox is gone", lambda: not old.exists())
    kernel = home.interfaces("again")
    assert [(entry["name"], entry["ips"]) for entry in home.wait_status("again")] == [
        ("pods", kernel["eth0"]["ips"]),
        (f"{home.namespace}/storage", kernel["net1"]["ips"]),
        (f"{home.namespace}/lab", kernel["net2"]["ips"]),
    ]
    assert not [entry for entry in (home.cluster.leases / "lan").iterdir() if entry.name.startswith("10.")]
