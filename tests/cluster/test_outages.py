# SPDX-License-Identifier: Apache-2.0
"""The agent or the API server goes away and comes back, on a real node: pods wait or go on, and nothing is lost."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import networks
from tests.cluster.cluster import NODE_NAME
from tests.cluster.home import new_token

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.home import Home, Sandbox

pytestmark = pytest.mark.part("bridge", "macvlan", "host-local")


def ready_since(home: Home) -> tuple[str, str]:
    """Return the node's Ready condition and since when it is so: a flip and back changes the latter."""
    conditions = home.cluster.get("node", NODE_NAME)["status"]["conditions"]
    ready = next(entry for entry in conditions if entry["type"] == "Ready")
    return ready["status"], ready["lastTransitionTime"]


def count(calls: Path, verb: str) -> int:
    """Return how often the runtime has called a verb."""
    return sum(line.startswith(f"{verb} ") for line in calls.read_text().splitlines())


# ---- the agent


def test_a_pod_made_while_no_agent_runs_starts_when_one_does(home: Home) -> None:
    """The call waits in the shim; neither the kubelet nor the user has to do anything."""
    home.define_all()
    calls = home.record_calls()
    home.cluster.stop_agent()
    home.cluster.apply(home.pod("waiting", "lan,storage"))
    home.cluster.wait_until("the runtime calls ADD", lambda: count(calls, "ADD"))
    home.cluster.restart_agent()
    home.wait_running("waiting")
    assert tuple(home.interfaces("waiting")) == ("eth0", "net1", "net2")
    assert count(calls, "ADD") == 1


def test_a_pod_deleted_while_no_agent_runs_goes_when_one_does(home: Home) -> None:
    """The deletion is on disk before anybody is asked, and the next agent carries it out."""
    home.define_all()
    home.run_pod("leaving", "lan,storage")
    sandbox = home.cluster.sandbox("leaving", home.namespace)
    home.cluster.kill_agent()
    home.cluster.kubectl("delete", "pod", "leaving", "-n", home.namespace, "--wait=false")
    recorded = home.cluster.socket.parent / "pending" / sandbox
    home.cluster.wait_until("the DEL is recorded", recorded.exists)
    assert len(home.leftovers()) > 1
    home.cluster.restart_agent()
    home.cluster.wait_until("the pod is gone", lambda: not home.cluster.get("pods", "-n", home.namespace)["items"])
    assert home.leftovers() == []


def test_the_node_stays_ready_while_the_agent_restarts(home: Home) -> None:
    """Whoever asks for STATUS gets a good answer at every moment of an upgrade: the kubelet never sees a bad one."""
    calls = home.record_calls()
    polled = 2 if home.cluster.cni_version == "1.1.0" else 0  # containerd 1.6 knows no STATUS
    before = ready_since(home)
    assert before[0] == "True"
    home.cluster.stop_agent()
    asked = count(calls, "STATUS")
    home.cluster.wait_until("the runtime asks for STATUS", lambda: count(calls, "STATUS") >= asked + polled)
    with home.status_polled() as answers:
        home.cluster.restart_agent()
        home.cluster.kill_agent()
        home.cluster.restart_agent()
        last = len(answers)
        home.cluster.wait_until("STATUS is asked for some more", lambda: len(answers) > last + 20)
    assert set(answers) == {(0, "")}
    assert ready_since(home) == before


def test_an_agent_that_is_killed_during_an_add_leaves_nothing_of_it(home: Home) -> None:
    """The runtime takes the half attached sandbox back, and the kubelet's next try succeeds."""
    hold = home.folder / f"{home.namespace}.hold"
    leases = home.cluster.leases
    home.define(lan=networks.lan(leases), storage=networks.storage(leases), slow=home.scripted(hold=str(hold)))
    home.cluster.apply(home.pod("twice", "lan,storage,slow"))
    home.cluster.wait_until("the third network is being attached", hold.with_name(f"{hold.name}.reached").exists)
    first = home.scripted_calls()[0]["container"]
    home.cluster.kill_agent()
    hold.touch()
    home.cluster.restart_agent()
    home.wait_running("twice")
    second = home.cluster.sandbox("twice", home.namespace)
    assert second != first
    assert tuple(home.interfaces("twice")) == ("eth0", "net1", "net2")  # the scripted plugin makes none
    assert [(call["command"], call["container"]) for call in home.scripted_calls()] == [
        ("ADD", first),
        ("DEL", first),
        ("ADD", second),
    ]
    left = home.leftovers()
    assert sorted(line.split()[0] for line in left) == [*["lease"] * 3, *["link"] * 2, "namespace", "record"], left


# ---- the API server


def timed_add(sandbox: Sandbox) -> tuple[Any, float]:
    """Call ADD; its result and how long it took."""
    began = time.monotonic()
    return sandbox.add(), time.monotonic() - began


def test_an_outage_of_the_api_server_delays_no_pod_that_is_known(home: Home) -> None:
    """With annotations in the call and definitions in memory ADD is as fast as ever; its status comes later."""
    home.define_all()
    home.cluster.agent.let_come_back()  # a pod can only be made with the API server
    uids = {name: home.pod_elsewhere(name) for name in ("before", "during", "killed")}
    wanted = "lan,storage,lab"
    with (
        home.sandbox("before", uids["before"], wanted) as before,
        home.sandbox("during", uids["during"], wanted) as during,
        home.sandbox("killed", uids["killed"], wanted) as killed,
    ):
        _, usual = timed_add(before)
        home.wait_status("before")
        home.cluster.stop_apiserver()
        result, took = timed_add(during)
        assert [one["name"] for one in result["interfaces"] if one.get("sandbox")] == ["eth0", "net1", "net2", "net3"]
        assert took < 2 * usual + 0.5, f"{took:.3f} s instead of {usual:.3f} s"
        timed_add(killed)
        home.cluster.kill_agent()
        home.cluster.restart_agent()  # what it has not written it finds in its journal
        before.delete()
        home.cluster.start_apiserver()
        for name, sandbox in (("during", during), ("killed", killed)):
            entries = {entry["interface"]: entry["ips"] for entry in home.wait_status(name, 45)}
            assert entries == {ifname: found["ips"] for ifname, found in sandbox.interfaces().items()}


def test_a_static_pod_starts_in_an_outage_and_its_mirror_gets_the_status_after_it(home: Home) -> None:
    """The kubelet needs no API server for it, nor do we; the mirror that the status is written to comes later."""
    home.define(lan=networks.lan(home.cluster.leases), seen=home.scripted())
    with home.sandbox("probe", home.pod_elsewhere("probe"), "lan,seen") as probe:
        probe.add()  # the definitions are known now
    home.cluster.stop_apiserver()
    (home.folder / "manifests" / "early.json").write_text(json.dumps(home.pod("early", "lan,seen")))
    home.cluster.wait_until("it is attached", lambda: len(home.scripted_calls()) == 3)
    home.cluster.start_apiserver()
    name = f"early-{NODE_NAME}"
    home.cluster.wait_until("the mirror pod is there", lambda: name in home.cluster.kubectl("get", "pods", "-A"))
    kernel = home.interfaces(name)
    assert {entry["interface"]: entry["ips"] for entry in home.wait_status(name, 45)[:2]} == {
        ifname: found["ips"] for ifname, found in kernel.items()
    }


def test_a_definition_that_is_edited_after_an_outage_is_seen(home: Home) -> None:
    """The agent follows definitions again, by itself, when the API server is back."""
    home.define(changed=home.scripted(said="before"))
    home.cluster.stop_apiserver()
    home.cluster.start_apiserver()
    home.define(changed=home.scripted(said="after"))
    uid = home.pod_elsewhere("curious")

    def said() -> str:
        with home.sandbox("curious", uid, "changed") as sandbox:
            sandbox.add()
        return str(home.scripted_calls()[-1]["config"]["said"])

    home.cluster.wait_until("the edit is seen", lambda: said() == "after", 45)


@pytest.mark.form("process")  # a pod's is the kubelet's to renew, after minutes
def test_a_token_that_is_replaced_in_its_file_is_used(home: Home) -> None:
    """The service account's token is read anew: the next status is written though the old token is worth nothing."""
    kubectl = home.cluster.kubectl
    old = (home.folder / "token").read_text().strip()
    assert accepted(home, old)
    kubectl("-n", "kube-system", "delete", "serviceaccount", "metacni")
    kubectl("-n", "kube-system", "create", "serviceaccount", "metacni")
    (home.folder / "token").write_text(new_token(home.cluster))

    home.cluster.wait_until("the old token is refused", lambda: not accepted(home, old))
    home.define(lan=networks.lan(home.cluster.leases))
    home.run_pod("later", "lan")
    assert [entry["name"] for entry in home.wait_status("later")] == ["pods", f"{home.namespace}/lan"]


def accepted(home: Home, token: str) -> bool:
    """Say whether the API server knows whose token this is."""
    kubeconfig = home.folder / "asked.kubeconfig"
    kubeconfig.write_text(home.cluster.api.kubeconfig_text(f"token: {token}"))
    kubectl = str(home.cluster.api.bin_dir / "kubectl")
    try:
        home.cluster.node.run(kubectl, "--kubeconfig", str(kubeconfig), "auth", "whoami")
    except AssertionError:
        return False
    return True
