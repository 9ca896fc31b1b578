# SPDX-License-Identifier: Apache-2.0
"""The agent of a test node in either form: a process beside containerd, or a pod from examples/agent-pod.

A test should not see the difference, so both have the same verbs. The pod is the real manifest's; only the folders of
the host, the image's name and the address of the API server are the test node's. There is no controller: what a
DaemonSet would do, delete and create, is done here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster import agent_image
from tests.cluster.api import PORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.cluster import Cluster

METACNI = Path(sys.executable).parent / "metacni"
MANIFEST = Path(__file__).parents[2] / "examples" / "agent-pod" / "agent.yaml"
NAMESPACE = "kube-system"
POD = "metacni-1"


def listens(path: Path) -> bool:
    """Tell whether somebody listens: the file alone may be a killed agent's."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def own_settings(cluster: Cluster, own: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of an agent on a test node, whose folders are its own."""
    allowed = ["/var/lib/cni", "/run/cni", "/etc/cni", "/var/log", str(cluster.folder)]
    return {"cniConfDir": str(cluster.conf_dir), "allowedPaths": allowed, **own}


class AgentProcess:
    """A process in the node's network namespace, with a kubeconfig: as examples/first-pod has it."""

    real_parts: tuple[str, ...] = ()

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.started = False
        self._command: list[str] = []

    def start(self, own: Mapping[str, object]) -> None:
        """Install the shim and start the agent with these settings (YAML keys); return when its socket answers."""
        cluster = self.cluster
        cluster.node.run(str(METACNI), "install", "--bin-dir", str(cluster.bin_dir))
        config = cluster.folder / "agent.yaml"
        config.write_text(json.dumps(own_settings(cluster, own)))
        options = {
            "--config": config,
            "--socket": cluster.socket,
            "--state-dir": cluster.state_dir,
            "--kubeconfig": cluster.agent_kubeconfig,
            "--node-name": "node1",
        }
        self._command = [str(METACNI), "agent", *(str(word) for pair in options.items() for word in pair)]
        self.restart()

    def restart(self) -> None:
        """Start the agent that was ended, with the settings it had."""
        assert not self.running()
        self.started = True
        self.cluster.spawn("agent", self._command, {})
        self.cluster.wait_until(f"the agent listens: {self.cluster.last_words('agent')}", self._listens, 30)

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends it, if it runs, and wait for that."""
        self.cluster.end("agent", how)

    def running(self) -> bool:
        """Tell whether it lives."""
        return self.cluster.runs("agent")

    def forget(self) -> None:
        """End it for good."""
        self.end(signal.SIGTERM)
        self.started = False

    def let_come_back(self) -> None:
        """Have it started again when it ends: here `restart` does that."""

    def keep_plugin(self) -> None:
        """Leave what is in the place of the shim by now: here only `start` installs one."""

    def _listens(self) -> bool:
        assert self.running(), f"the agent ended: {self.cluster.last_words('agent')}"
        return listens(self.cluster.socket)


class AgentPod:
    """The pod of the DaemonSet of examples/agent-pod; it stays down when it was ended, so that a test can look."""

    real_parts = ("buildah", "the agent as a pod")

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.started = False
        self.body: dict[str, Any] = {}

    def start(self, own: Mapping[str, object]) -> None:
        """Make what it needs, and start it with these settings over the manifest's; return when its socket answers."""
        self.prepare(own)
        self.restart()

    def let_come_back(self) -> None:
        """Have the kubelet start it again when it ends, as it does with a DaemonSet's pod."""
        self.delete()
        del self.body["spec"]["restartPolicy"]
        self.restart()

    def keep_plugin(self) -> None:
        """Leave what is in the place of the shim by now: a script that is replaced while a shell opens it runs wild."""
        del self.body["spec"]["initContainers"]

    def prepare(self, own: Mapping[str, object]) -> None:
        """Bring image and configuration to the node; afterwards `body` is the pod, and may be changed."""
        cluster = self.cluster
        agent_image.bring(cluster)
        settings, daemon_set = self._manifest()
        stated = yaml.safe_load(settings["data"]["agent.yaml"])
        stated |= own_settings(cluster, {"netnsDir": str(cluster.netns_dir), **own})
        settings["data"]["agent.yaml"] = json.dumps(stated)
        root = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": cluster.api.ca_file.read_text()}}
        cluster.apply(settings, root | {"metadata": {"name": "kube-root-ca.crt", "namespace": NAMESPACE}})
        template = daemon_set["spec"]["template"]
        self.body = {"apiVersion": "v1", "kind": "Pod", **template}
        self.body["metadata"] |= {"name": POD, "namespace": NAMESPACE}
        self.body["spec"] |= {"nodeName": "node1", "restartPolicy": "Never"}
        for container in (*self.body["spec"]["initContainers"], *self.body["spec"]["containers"]):
            container |= {"image": agent_image.IMAGE, "imagePullPolicy": "Never"}
        agent = self.body["spec"]["containers"][0]
        agent["args"] += ["--state-dir", str(cluster.state_dir), "--host-pid", str(cluster.runtime_pid())]
        agent["env"] += [  # no kube-proxy serves the API server's Service; README.md of the example has the same
            {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
            {"name": "KUBERNETES_SERVICE_PORT", "value": str(PORT)},
            {"name": "METACNI_SOCKET", "value": str(cluster.socket)},
        ]

    def restart(self) -> None:
        """Start the agent that was ended, with the settings it had."""
        if self.body["spec"].get("restartPolicy") == "Never" or not self._exists():
            self.delete()
            self.cluster.apply(self.body)
        self.started = True
        self.cluster.wait_until("the agent's pod listens", self._listens, 60)

    def end(self, how: signal.Signals) -> None:
        """End it, if it runs: by deleting the pod, or by a signal from outside."""
        if how == signal.SIGTERM:
            self.delete()
            return
        pid = self.pid()
        assert pid is not None, "the agent does not run"
        os.kill(pid, how)
        self.cluster.wait_until("the agent has ended", lambda: not Path(f"/proc/{pid}").exists(), 40)

    def delete(self) -> None:
        """Delete the pod, if it is there, and wait for that."""
        if self.started:
            self.cluster.kubectl("delete", "pod", POD, "-n", NAMESPACE, "--ignore-not-found", "--timeout=60s")

    def running(self) -> bool:
        """Tell whether its process lives."""
        return self.pid() is not None

    def forget(self) -> None:
        """End it for good."""
        self.delete()
        self.started = False

    def pid(self) -> int | None:
        """Return the agent's process; None: it has none."""
        terms = (f'labels."io.kubernetes.pod.name"=={POD}', 'labels."io.kubernetes.container.name"==agent')
        containers = set(self.cluster.ctr("containers", "ls", "-q", ",".join(terms)).split())
        tasks = (line.split() for line in self.cluster.ctr("task", "ls").splitlines()[1:])
        return next((int(pid) for name, pid, state in tasks if name in containers and state == "RUNNING"), None)

    def log(self) -> str:
        """Return what the agent, and whoever was it before in this pod, has written."""
        folder = self.cluster.folder / "logs"
        files = sorted(folder.glob(f"{NAMESPACE}_{POD}_*/agent/*.log"), key=lambda file: file.stat().st_mtime)
        lines = (line for file in files for line in file.read_text(errors="replace").splitlines())
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def _exists(self) -> bool:
        return not self.cluster.api.running or bool(
            self.cluster.kubectl("get", "pod", POD, "-n", NAMESPACE, "--ignore-not-found")
        )

    def _listens(self) -> bool:
        return self.running() and listens(self.cluster.socket)

    def _manifest(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return settings and DaemonSet, the host's folders replaced by the node's."""
        cluster = self.cluster
        folders = {
            "/run/metacni": cluster.socket.parent,
            "/run/netns": cluster.netns_dir,
            "/var/lib/cni": cluster.cni_dir,
            "/etc/cni/net.d": cluster.conf_dir,
            "/etc/cni/multus/net.d": cluster.folder / "multus.d",
            "/opt/cni/bin": cluster.bin_dir,
        }
        anywhere = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, folders))})(?![\w.-])")
        text = anywhere.sub(lambda found: str(folders[found[1]]), MANIFEST.read_text())
        settings, daemon_set = yaml.safe_load_all(text)
        return settings, daemon_set


FORMS: dict[str, type[AgentProcess | AgentPod]] = {"process": AgentProcess, "pod": AgentPod}
