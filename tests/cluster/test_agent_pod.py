# SPDX-License-Identifier: Apache-2.0
"""The agent as the pod of examples/agent-pod: replaced, killed, and with one of its rights or folders missing."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import networks
from tests.cluster.agents import NAMESPACE, POD, AgentPod
from tests.cluster.cluster import NODE_NAME
from tests.parts import KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.home import Home

pytestmark = [pytest.mark.form("pod"), pytest.mark.part("bridge", "macvlan", "host-local", "tuning")]
SELECTION = "lan,storage,lab"
INTERFACES = ("eth0", "net1", "net2", "net3")


def agent_of(home: Home) -> AgentPod:
    """Return the agent of these tests, which is a pod."""
    assert isinstance(home.cluster.agent, AgentPod)
    return home.cluster.agent


@contextmanager
def conditions_watched(home: Home) -> Iterator[list[tuple[str, str]]]:
    """Follow the node's Ready condition while the block runs: status and since when, as often as it is written."""
    kubeconfig = str(home.cluster.api.kubeconfig)
    kubectl = (
        str(KUBERNETES / "kubectl"),
        "--kubeconfig",
        kubeconfig,
        "get",
        "node",
        NODE_NAME,
        "--watch",
        "-o",
        "json",
    )
    seen: list[tuple[str, str]] = []
    with subprocess.Popen(home.cluster.node.command(*kubectl), stdout=subprocess.PIPE, text=True) as watch:

        def read() -> None:
            for node in documents(watch.stdout):
                ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
                seen.append((ready["status"], ready["lastTransitionTime"]))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            home.cluster.wait_until("the watch has begun", lambda: seen)
            yield seen
        finally:
            watch.terminate()
            reader.join()


def documents(stream: Any) -> Iterator[Any]:
    """Decode one JSON document after another; kubectl writes them with line breaks, each to a line `}`."""
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if line == "}\n":
            yield json.loads("".join(lines))
            lines.clear()


# ---- replaced and killed


def test_the_node_stays_ready_while_the_pod_is_replaced(home: Home) -> None:
    """Three times, with pods made and deleted all the while: no condition changes, and each pod gets its networks."""
    home.define_all()
    with conditions_watched(home) as seen:
        for number in range(3):
            home.cluster.apply(home.pod(f"before{number}", SELECTION))
            home.cluster.stop_agent()
            home.cluster.apply(home.pod(f"without{number}", SELECTION))
            if number:
                home.cluster.kubectl("delete", "pod", f"without{number - 1}", "-n", home.namespace, "--wait=false")
            time.sleep(3)  # containerd asks for STATUS meanwhile
            home.cluster.restart_agent()
            for name in (f"before{number}", f"without{number}"):
                home.wait_running(name)
                assert tuple(home.interfaces(name)) == INTERFACES
        times = len(seen)
    assert {status for status, _ in seen} == {"True"}
    assert len(set(seen)) == 1, f"{times} conditions: {sorted(set(seen))}"


def test_a_pod_that_is_killed_in_the_middle_of_adds_loses_nothing(home: Home) -> None:
    """SIGKILL, three times, as eight pods come: the kubelet brings it back, and every pod has all of its networks."""
    home.define_all()
    home.cluster.agent.let_come_back()
    names = [f"p{number}" for number in range(8)]
    for batch, begun in ((names[:4], 2), (names[4:], 6)):
        home.cluster.apply(*(home.pod(name, SELECTION) for name in batch))
        wait_begun(home, begun)
        home.cluster.kill_agent(signal.SIGKILL)
    for name in names:
        home.cluster.wait_pod_running(name, home.namespace, 150)
        assert tuple(home.interfaces(name)) == INTERFACES
        assert {entry["interface"] for entry in home.wait_status(name, 60)} == set(INTERFACES)
    addresses = [address for name in names for one in home.interfaces(name).values() for address in one["ips"]]
    assert len(addresses) == len(set(addresses)) == 8 * len(INTERFACES)
    home.delete_pod(*names)
    assert home.leftovers() == []


def wait_begun(home: Home, least: int) -> None:
    """Wait until the journal has so many sandboxes."""
    journal = home.cluster.state_dir / "sandboxes"
    home.cluster.wait_until("ADDs are under way", lambda: len(list(journal.glob("*"))) >= least)


# ---- what it stands on


def test_it_has_the_rights_of_the_manifest_and_no_more(home: Home) -> None:
    """Five capabilities, no way to gain another, the runtime's seccomp filter, and nothing of the host's disk."""
    text = Path(f"/proc/{agent_of(home).pid()}/status").read_text()
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    held = {name: int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")}
    assert set(held.values()) == {1 << 12 | 1 << 13 | 1 << 18 | 1 << 19 | 1 << 21}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    home.cluster.wait_pod_running(POD, NAMESPACE)
    listed = home.cluster.exec(POD, "ls", "/host", namespace=NAMESPACE)
    assert listed.split() == ["proc"]
    with pytest.raises(AssertionError, match="Read-only file system"):
        home.cluster.exec(POD, "touch", "/opt/metacni/x", namespace=NAMESPACE)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    """Return what takes a capability away from the agent's container."""

    def change(body: dict[str, Any]) -> None:
        body["spec"]["containers"][0]["securityContext"]["capabilities"]["add"].remove(name)

    return change


def unmount(name: str) -> Callable[[dict[str, Any]], None]:
    """Return what forgets one of the agent's volumes."""

    def change(body: dict[str, Any]) -> None:
        container = body["spec"]["containers"][0]
        container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != name]

    return change


def private(body: dict[str, Any]) -> None:
    """Forget the propagation of the namespaces' mount."""
    for mount in body["spec"]["containers"][0]["volumeMounts"]:
        mount.pop("mountPropagation", None)


def read_only(body: dict[str, Any]) -> None:
    """Mount the state to be read."""
    for mount in body["spec"]["containers"][0]["volumeMounts"]:
        if mount["name"] == "state":
            mount["readOnly"] = True


def test_each_right_and_folder_that_is_missing_is_named(home: Home) -> None:
    """The pod does not become ready, and its status says what is missing: that, and nothing else."""
    cluster = home.cluster
    missing: dict[str, tuple[Callable[[dict[str, Any]], None], list[str]]] = {
        "sys-admin": (drop("SYS_ADMIN"), ["capability SYS_ADMIN is missing"]),
        "net-admin": (drop("NET_ADMIN"), ["capability NET_ADMIN is missing"]),
        "namespaces": (unmount("namespaces"), [f"netnsDir '{cluster.netns_dir}' is not mounted from the host"]),
        "propagation": (private, [f"netnsDir '{cluster.netns_dir}' is mounted without mountPropagation"]),
        "sysctls": (unmount("sysctls"), ["sysctlDir '/host/proc/sys/net' does not show the host's /proc/sys/net"]),
        "socket": (unmount("socket"), [f"the folder of the socket '{cluster.socket.parent}' "] * 2),
        "state": (
            unmount("state"),
            [f"the state folder '{cluster.state_dir}' "] * 2 + [f"hostPaths '{cluster.cni_dir}' "],
        ),
        "read-only": (read_only, [f"the state folder '{cluster.state_dir}' cannot be written"]),
    }
    agent = agent_of(home)
    agent.forget()
    bodies = []
    for name, (change, _) in missing.items():
        agent.prepare({})
        change(agent.body)
        agent.body["metadata"]["name"] = f"metacni-{name}"
        bodies.append(agent.body)
    cluster.apply(*bodies)
    for name, (_, told) in missing.items():
        first, *lines = (message := wait_ended(home, f"metacni-{name}")).splitlines()
        assert first == "metacni agent: cannot start, for this is missing:"
        assert len(lines) == len(told), message
        assert [line.strip()[: len(words)] for line, words in zip(lines, told, strict=True)] == told
    cluster.kubectl("delete", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=metacni", "--wait")
    agent.start({})


def wait_ended(home: Home, pod: str) -> str:
    """Wait until the agent of this pod has ended; what the status says of it."""
    home.cluster.wait_until(f"{pod} ends", lambda: ended(home, pod) is not None, 90)
    return ended(home, pod) or ""


def ended(home: Home, pod: str) -> str | None:
    """Return what the status of the pod says of the agent's end; None: it has not ended."""
    found = home.cluster.get("pod", pod, "-n", NAMESPACE)["status"]
    states = [one["state"] for one in found.get("containerStatuses", ()) if "terminated" in one["state"]]
    return str(states[0]["terminated"].get("message", "")) if states else None


def test_an_add_that_nobody_waits_for_is_undone_with_the_hosts_plugins(home: Home) -> None:
    """From its container the agent reaches the host's plugins and their leases, with no call of the runtime."""
    leases, hold = home.cluster.leases, home.folder / f"{home.namespace}.hold"
    home.define(lan=networks.lan(leases), storage=networks.storage(leases), slow=home.scripted(hold=str(hold)))
    with home.sandbox("orphan", home.pod_elsewhere("orphan"), "lan,storage,slow") as sandbox:
        with sandbox.begin_add() as shim:
            home.cluster.wait_until("the last is being attached", hold.with_name(f"{hold.name}.reached").exists)
            assert len(sandbox.interfaces()) == 3
            shim.kill()
        home.cluster.wait_until("it is undone", lambda: not home.leftovers(), 30)
        assert sandbox.interfaces() == {}
        assert [call["command"] for call in home.scripted_calls()] == ["ADD", "DEL"]


@pytest.mark.parametrize("name", ["SYS_PTRACE", "NET_RAW"])
def test_what_only_work_without_a_call_needs_is_a_warning(home: Home, name: str) -> None:
    """Pods are attached; the log says what waits for the runtime."""
    agent = agent_of(home)
    agent.forget()
    agent.prepare({})
    drop(name)(agent.body)
    agent.restart()
    assert [line["msg"].partition(" is missing")[0] for line in warnings(agent)] == [f"capability {name}"]
    home.define(lan=networks.lan(home.cluster.leases))
    home.run_pod("served", "lan")
    assert tuple(home.interfaces("served")) == ("eth0", "net1")


def warnings(agent: AgentPod) -> list[Any]:
    """Return the lines of its log that warn."""
    lines = (json.loads(line) for line in agent.log().splitlines())
    return [line for line in lines if line["level"] == "warning"]
