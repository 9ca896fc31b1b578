# SPDX-License-Identifier: Apache-2.0
"""A test node whose primary CNI plugin is metacni: the verbs that tests of the main job need.

The agent runs as the README says: with the rights of examples/first-pod/rbac.yaml and no more. Each test has a
namespace of the API server to itself. Everything is found below the node's folder, so `leftovers` can name what stays.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import networks, scripted_plugin
from tests.cluster.agents import FORMS
from tests.cluster.cluster import pod

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
CRD = ROOT / "crds" / "network-attachment-definitions.yaml"
RBAC = ROOT / "examples" / "first-pod" / "rbac.yaml"
ELSEWHERE = "elsewhere"
OURS = "by-hand-"  # begins the names of namespaces that no runtime made
BOOKKEEPING = ("last_reserved_ip", "lock")  # host-local's own two files, which it never removes


class Home:
    """One test's use of the node."""

    def __init__(self, cluster: Cluster, form: str = "process") -> None:
        self.cluster = cluster
        self.cluster.agent = FORMS[form](cluster)
        self.real_parts = ("shim", *self.cluster.agent.real_parts)
        self.folder = cluster.folder
        self.namespace = f"t{secrets.token_hex(3)}"
        self.conflist = networks.node_conflist(cluster.cni_version, cluster.leases)
        self.scripted_log = self.folder / f"{self.namespace}.log"

    def start(self, **own: object) -> None:
        """Start the agent, with these settings of its own, and make metacni the node's CNI plugin."""
        self.cluster.kubectl("create", "namespace", self.namespace)
        run = self.cluster.node.run
        run("ip", "link", "add", networks.STORAGE_LINK, "type", "veth", "peer", "name", "store1")
        for link in (networks.STORAGE_LINK, "store1"):
            run("ip", "link", "set", link, "up")
        self.cluster.start_agent(**own)
        self.cluster.write_conf(self.conflist)
        self.cluster.wait_ready()

    def empty(self) -> None:
        """Delete the pods that are still there, and see that nothing is left of any that were."""
        for manifest in (self.folder / "manifests").iterdir():
            manifest.unlink()
        unserved = ("-A", "--field-selector", f"spec.nodeName={ELSEWHERE}")  # no kubelet would let them go
        self.cluster.kubectl("delete", "pods", *unserved, "--force", "--grace-period=0")
        self.cluster.delete_pods()
        self.cluster.wait_until(f"nothing is left: {self.leftovers()}", lambda: not self.leftovers(), 15)

    # ---- definitions and pods

    def define(self, **configs: object) -> None:
        """Create definitions in the test's namespace, or change them: name=configuration."""
        self.cluster.apply(*(networks.definition(self.namespace, *item) for item in configs.items()))

    def define_all(self) -> None:
        """Create the three networks of networks.py."""
        leases = self.cluster.leases
        self.define(lan=networks.lan(leases), storage=networks.storage(leases), lab=networks.lab(leases))

    def scripted(self, **behaviour: object) -> dict[str, Any]:
        """Return a configuration of the scripted plugin, which is installed."""
        target = self.cluster.bin_dir / "scripted"
        if not target.exists():
            target.write_text(f"#!{sys.executable} -IS\n{Path(scripted_plugin.__file__).read_text()}")
            target.chmod(0o755)
        return {"cniVersion": "1.0.0", "type": "scripted", "log": str(self.scripted_log), **behaviour}

    def scripted_calls(self) -> list[dict[str, Any]]:
        """Return the calls of the scripted plugin."""
        return [json.loads(line) for line in self.scripted_log.read_text().splitlines()]

    def pod(self, name: str, wanted: object = None, **more: str) -> dict[str, Any]:
        """Return a pod of the test's namespace; `wanted` is the networks annotation, as text or as its JSON form."""
        annotations = (
            {} if wanted is None else {networks.NETWORKS: wanted if isinstance(wanted, str) else json.dumps(wanted)}
        )
        body = pod(name, {**annotations, **more})
        body["metadata"]["namespace"] = self.namespace
        return body

    def run_pod(self, name: str, wanted: object = None) -> Any:
        """Create a pod and wait until it runs; the pod."""
        self.cluster.apply(self.pod(name, wanted))
        return self.wait_running(name)

    def pod_elsewhere(self, name: str) -> str:
        """Create a pod of another node, which no kubelet of ours runs: one to call ADD for by hand; its UID."""
        body = self.pod(name)
        body["spec"]["nodeName"] = ELSEWHERE
        self.cluster.apply(body)
        return str(self.cluster.get("pod", name, "-n", self.namespace)["metadata"]["uid"])

    def wait_running(self, name: str) -> Any:
        """Wait until a pod runs; the pod."""
        return self.cluster.wait_pod_running(name, self.namespace, 90)

    def delete_pod(self, *names: str) -> None:
        """Delete pods and wait until their sandboxes are gone."""
        self.cluster.kubectl("delete", "pod", *names, "-n", self.namespace, "--wait", "--timeout=90s")

    def status(self, name: str) -> Any:
        """Return the network-status annotation of a pod, parsed; None: there is none."""
        text = self.cluster.get("pod", name, "-n", self.namespace)["metadata"]["annotations"].get(networks.STATUS)
        return None if text is None else json.loads(text)

    def wait_status(self, name: str, seconds: float = 20) -> Any:
        """Wait for the network-status annotation of a pod; its value, parsed."""
        self.cluster.wait_until(f"pod {name} has a network-status", lambda: self.status(name) is not None, seconds)
        return self.status(name)

    def events(self, name: str) -> str:
        """Return the events of a pod, one a line: reason, then message."""
        return self.cluster.events(name, self.namespace)

    def wait_event(self, name: str, text: str, seconds: float = 40) -> str:
        """Wait until the events of a pod hold `text`; all of them."""
        self.cluster.wait_until(f"an event of pod {name} says {text!r}", lambda: text in self.events(name), seconds)
        return self.events(name)

    # ---- what the runtime and the kernel say

    def namespaces(self, name: str) -> list[Path]:
        """Return the network namespaces of a pod: two, while one sandbox goes and its successor comes."""
        terms = f'labels."io.kubernetes.pod.namespace"=={self.namespace},labels."io.kubernetes.pod.name"=={name}'
        ctr = self.cluster.ctr
        found = ctr("containers", "ls", "-q", f'{terms},labels."io.cri-containerd.kind"==sandbox').split()
        specs = (json.loads(ctr("containers", "info", sandbox))["Spec"]["linux"]["namespaces"] for sandbox in found)
        paths = (Path(one["path"]) for spec in specs for one in spec if one["type"] == "network")
        return [path for path in paths if path.exists()]  # the kubelet removes what has ended once a minute

    def interfaces(self, name: str) -> dict[str, dict[str, Any]]:
        """Return MAC and addresses of each interface in a pod but `lo`."""
        (netns,) = self.namespaces(name)
        return kernel_interfaces(netns)

    def leftovers(self) -> list[str]:
        """Return what pods have left on the node: a bridge, and host-local's bookkeeping, may stay."""
        links = json.loads(self.cluster.node.run("ip", "-j", "-d", "link"))
        kept = {"lo", "eth0", "uplink0", networks.STORAGE_LINK, "store1"}
        found = [
            f"link {one['ifname']}"
            for one in links
            if one["ifname"] not in kept and one.get("linkinfo", {}).get("info_kind") != "bridge"
        ]
        leases = (file for file in self.cluster.leases.rglob("*") if file.is_file())
        found += [f"lease {file}" for file in leases if not file.name.startswith(BOOKKEEPING)]
        found += [f"record {folder}" for folder in (self.cluster.state_dir / "sandboxes").glob("*")]
        found += [f"recorded DEL {file}" for file in (self.cluster.socket.parent / "pending").glob("*")]
        points = (point for point in self.cluster.node.mounts() if f"/netns/{OURS}" not in point)
        return found + [f"namespace {point}" for point in points if "/netns/" in point]

    def owners(self) -> set[tuple[str, str]]:
        """Return who carries which plugin type out, by what the journal has of the sandboxes: `agent` or `program`."""
        found = set()
        for file in (self.cluster.state_dir / "sandboxes").glob("*/plan"):
            for one in json.loads(file.read_text().partition("\n")[2])["attachments"]:
                plugins = one["config"].get("plugins", [one["config"]])
                found |= {(plugin["type"], by["by"]) for plugin, by in zip(plugins, one["owners"], strict=True)}
        return found

    # ---- the runtime's calls

    def record_calls(self) -> Path:
        """Put a script in front of the shim that notes each call of the runtime; the file, one line a call."""
        log, aside = self.folder / f"{self.namespace}.calls", self.folder / "shim"
        shim = self.cluster.bin_dir / "metacni"
        aside.mkdir(exist_ok=True)
        shutil.copy2(shim, aside / "metacni")
        script = shim.with_name(".metacni.new")
        script.write_text(f'#!/bin/sh\necho "$CNI_COMMAND $CNI_ARGS" >>{log}\nexec {aside}/metacni\n')
        script.chmod(0o755)
        script.rename(shim)
        log.touch()
        self.cluster.agent.keep_plugin()
        return log

    def ask_status(self) -> tuple[int, str]:
        """Call STATUS through the shim, in version 1.1.0; exit status and output."""
        config = {**networks.call_config(self.conflist, {}), "cniVersion": "1.1.0"}
        config.pop("runtimeConfig")
        done = self.call({"CNI_COMMAND": "STATUS"}, config)
        return done.returncode, done.stdout

    @contextmanager
    def status_polled(self) -> Iterator[list[tuple[int, str]]]:
        """Ask for STATUS without a pause while the block runs; the answers so far."""
        answers: list[tuple[int, str]] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                answers.append(self.ask_status())

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)
            try:
                yield answers
            finally:
                done.set()
                asking.result()  # also when the block has failed: what ended the asking explains it

    def call(self, variables: Mapping[str, str], config: object) -> subprocess.CompletedProcess[str]:
        """Call the shim in the node's namespace, as a runtime does."""
        with self.begun(variables) as shim:
            said, logged = shim.communicate(json.dumps(config), timeout=120)
        return subprocess.CompletedProcess(shim.args, shim.returncode, said, logged)

    def begun(self, variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the shim, which waits for its standard input."""
        environment = {
            "PATH": os.environ["PATH"],
            "METACNI_SOCKET": str(self.cluster.socket),
            "CNI_PATH": str(self.cluster.bin_dir),
            **variables,
        }
        command = self.cluster.node.command(str(self.cluster.bin_dir / "metacni"))
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    @contextmanager
    def sandbox(self, name: str, uid: str, wanted: str) -> Iterator[Sandbox]:
        """Give a sandbox that no runtime made; afterwards it is deleted."""
        made = Sandbox(self, name, uid, wanted)
        made.netns.touch()
        self.cluster.node.run("unshare", f"--net={made.netns}", "ip", "link", "set", "lo", "up")
        try:
            yield made
        finally:
            made.call("DEL")
            self.cluster.node.run("umount", "--lazy", str(made.netns))  # as runtimes do: somebody may look
            made.netns.unlink()


class Sandbox:
    """A sandbox of a pod, and the runtime's calls for it."""

    def __init__(self, home: Home, name: str, uid: str, wanted: str) -> None:
        self._home = home
        self.id = secrets.token_hex(32)
        self.netns = home.cluster.netns_dir / f"{OURS}{self.id[:6]}"  # where the runtime's are: an agent sees no other
        self._args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={home.namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}"
        self._config = networks.call_config(home.conflist, {networks.NETWORKS: wanted})

    def call(self, verb: str) -> subprocess.CompletedProcess[str]:
        """Call the shim with this verb."""
        return self._home.call(self._variables(verb), self._config)

    def begin_add(self) -> subprocess.Popen[str]:
        """Call ADD; the shim, to be killed perhaps."""
        shim = self._home.begun(self._variables("ADD"))
        assert shim.stdin is not None
        shim.stdin.write(json.dumps(self._config))
        shim.stdin.close()
        return shim

    def _variables(self, verb: str) -> dict[str, str]:
        return {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": self.id,
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": self._args,
        }

    def add(self) -> Any:
        """Call ADD, which must succeed; the result."""
        done = self.call("ADD")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def delete(self) -> None:
        """Call DEL, which must succeed."""
        done = self.call("DEL")
        assert done.returncode == 0, done.stdout + done.stderr

    def interfaces(self) -> dict[str, dict[str, Any]]:
        """Return MAC and addresses of each interface but `lo`."""
        return kernel_interfaces(self.netns)


def kernel_interfaces(netns: Path) -> dict[str, dict[str, Any]]:
    """Return MAC and addresses of each interface in a namespace but `lo`, as the kernel has them."""
    command = ["nsenter", f"--net={netns}", "--", "ip", "-j", "addr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return {
        link["ifname"]: {
            "mac": link["address"],
            "ips": [entry["local"] for entry in link["addr_info"] if entry["scope"] == "global"],
        }
        for link in json.loads(done.stdout)
        if link["ifname"] != "lo"
    }


def give_rights(cluster: Cluster) -> None:
    """Apply CRD and RBAC, and give the agent a kubeconfig with its service account's token file, as the README says."""
    cluster.kubectl("apply", "-f", str(CRD), "-f", str(RBAC))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    token = cluster.folder / "token"
    token.write_text(new_token(cluster))
    kubeconfig = cluster.folder / "agent.kubeconfig"
    kubeconfig.write_text(cluster.api.kubeconfig_text(f"tokenFile: {token}"))
    cluster.agent_kubeconfig = kubeconfig


def new_token(cluster: Cluster) -> str:
    """Return a token of the agent's service account, with the newline that kubectl prints."""
    return cluster.kubectl("-n", "kube-system", "create", "token", "metacni", "--duration=24h")
