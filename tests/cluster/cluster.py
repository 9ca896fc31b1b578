# SPDX-License-Identifier: Apache-2.0
"""One real Kubernetes node: etcd, kube-apiserver, containerd (1.6 or 2) and kubelet, in a namespace of its own.

It gives tests verbs, not opinions: no CNI configuration is written and no agent started unless a test says so. It has
no scheduler and no controllers (a pod names its node), pulls nothing, and must leave nothing: `down` proves it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import settings
from tests.cluster.agents import AgentPod, AgentProcess
from tests.cluster.api import NodeApi
from tests.cluster.image import IMAGE, write_image
from tests.cluster.node import ADDRESS, Node
from tests.parts import CONTAINERD, KUBERNETES, PLUGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NODE_NAME = "node1"
RUNTIMES = {  # the program, its configuration, the newest CNI version that it can read a result of
    "containerd-1.6": (Path("/usr/bin/containerd"), settings.CONTAINERD_1, "1.0.0"),
    "containerd-2": (CONTAINERD / "containerd", settings.CONTAINERD_2, "1.1.0"),
}


def pod(name: str, annotations: Mapping[str, str] | None = None, *, host_network: bool = False) -> dict[str, Any]:
    """Return a pod that sleeps on the node; a test changes what it needs."""
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": dict(annotations or {})},
        "spec": {
            "nodeName": NODE_NAME,
            "hostNetwork": host_network,
            "automountServiceAccountToken": False,  # nobody makes the accounts
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


class Cluster:
    """The node; `runtime` is a key of RUNTIMES. Its folders (bin_dir, conf_dir, leases, …) lie below `node.folder`."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.real_parts = ("etcd", "kube-apiserver", "kubelet", runtime, "runc", "loopback", "network namespaces")
        self.cni_version = RUNTIMES[runtime][2]
        self.node = Node()
        self.folder = self.node.folder
        self.bin_dir, self.conf_dir, self.cni_dir = (self.folder / name for name in ("bin", "net.d", "cni"))
        self.leases, self.state_dir = (self.cni_dir / name for name in ("leases", "metacni"))
        self.netns_dir = self.folder / "run/io.containerd.grpc.v1.cri/netns"  # where containerd's setting has it
        self.socket = self.folder / "metacni" / "cni.sock"
        self.api = NodeApi(self.node)
        self.agent_kubeconfig = self.api.kubeconfig  # the admin's; a test may hand over one with fewer rights
        self.agent: AgentProcess | AgentPod = AgentProcess(self)
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    # ---- the node

    def up(self) -> None:
        """Start everything; return when the node is registered (ready it is only with a CNI configuration)."""
        self.node.make()
        for folder in (self.bin_dir, self.conf_dir, self.leases, self.state_dir, self.netns_dir, self.socket.parent):
            folder.mkdir(parents=True)
        for name in ("manifests", "opt"):
            (self.folder / name).mkdir()
        # as /run is on a node: what is mounted there later shows in a container, too
        self.node.run("mount", "--bind", str(self.netns_dir), str(self.netns_dir))
        self.node.run("mount", "--make-shared", str(self.netns_dir))
        for plugin in PLUGINS.iterdir():
            shutil.copy2(plugin, self.bin_dir)
        self._start_containerd()
        self.api.start()
        self._start_kubelet()

    def down(self) -> None:
        """End and remove everything, in the order in which it can still clean up after itself."""
        last_first = (self.node.remove, self.api.stop, self._end_containerd, self._end_containers, self.stop_kubelet)
        with ExitStack() as stack:  # each is done though one before it failed
            for step in (*last_first, self.agent.forget):
                stack.callback(step)

    def reset(self) -> None:
        """Bring the node back to an empty one between two tests: no pod, agent, link or lease.

        The CNI configuration stays until the next test writes its own: the kubelet would not learn for seconds that
        there is none, and a sandbox that it starts meanwhile could not be deleted.
        """
        for manifest in (self.folder / "manifests").iterdir():
            manifest.unlink()
        if not self.api.running:  # a test failed in the middle of an outage
            self.start_apiserver()
        if self.agent.started and not self.agent.running():
            self.restart_agent()
        self.delete_pods()
        self.agent.forget()
        for entry in (entry for folder in (self.leases, self.state_dir) for entry in folder.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        while links := self.node.links():  # asked anew each time: with one end of a veth the other goes
            self.node.run("ip", "link", "delete", min(links))

    def node_ready(self) -> bool:
        """Tell whether the kubelet calls its node ready, which needs a CNI configuration that the runtime likes."""
        conditions = self.get("node", NODE_NAME)["status"]["conditions"]
        return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)

    def write_conf(self, configuration: object) -> None:
        """Make this the CNI configuration of the runtime in place of the one it has, without a moment of none.

        The temporary file stands in the same folder: containerd reloads on write, rename and remove events, and a file
        that comes from elsewhere is to it a mere "create", which it ignores. There is no event for "has reloaded".
        """
        temporary = self.conf_dir / ".10-test.conflist.tmp"
        temporary.write_text(json.dumps(configuration))
        temporary.rename(self.conf_dir / "10-test.conflist")
        time.sleep(0.5)

    def wait_ready(self) -> None:
        """Wait until the node is ready."""
        self.wait_until("the node is ready", self.node_ready)

    def wait_until(self, what: str, check: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something that has no event to wait for; `what` says what did not happen."""
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
            time.sleep(0.2)

    # ---- the API

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the admin; what it printed."""
        return self.api.kubectl(*arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create objects, or change them."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def stop_apiserver(self) -> None:
        """Begin an outage of the API server, by a crash: told to end, it waits for those who watch it."""
        self.api.stop_api(kill=True)

    def start_apiserver(self) -> None:
        """End the outage."""
        self.api.start_api()

    # ---- pods

    def wait_pod_running(self, name: str, namespace: str = "default", seconds: int = 60) -> Any:
        """Wait until a pod runs and return it; a failure shows the pod's events."""
        wait = ("wait", f"pod/{name}", "-n", namespace, "--for=condition=Ready", f"--timeout={seconds}s")
        try:
            self.kubectl(*wait)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.events(name, namespace)}") from None
        return self.get("pod", name, "-n", namespace)

    def events(self, name: str, namespace: str = "default") -> str:
        """Return what the events of a pod say, one a line."""
        items = self.get("events", "-n", namespace, f"--field-selector=involvedObject.name={name}")["items"]
        return "\n".join(f"{item['reason']}: {item['message']}" for item in items)

    def delete_pod(self, name: str, namespace: str = "default", seconds: int = 60) -> None:
        """Delete a pod and wait until the kubelet has let it go, which it does when its sandbox is gone."""
        self.kubectl("delete", "pod", name, "-n", namespace, "--wait", f"--timeout={seconds}s")

    def delete_pods(self) -> None:
        """Delete every pod but the agent's, and wait until the kubelet has let them go."""
        others = ("-A", "-l", "app.kubernetes.io/name!=metacni")
        if self.get("pods", *others)["items"]:
            self.kubectl("delete", "pods", *others, "--wait", "--timeout=100s")

    def exec(self, name: str, *argv: str, namespace: str = "default") -> str:
        """Run a program in the pod's container, as the API server and the kubelet do it."""
        return self.kubectl("exec", name, "-n", namespace, "--", *argv)

    def sandbox(self, name: str, namespace: str = "default") -> str:
        """Return the container id of a pod's sandbox, the one the runtime calls CNI with."""
        labels = {"pod.namespace": namespace, "pod.name": name}
        terms = [f'labels."io.kubernetes.{label}"=={value}' for label, value in labels.items()]
        found = self.ctr("containers", "ls", "-q", ",".join([*terms, 'labels."io.cri-containerd.kind"==sandbox']))
        ids: list[str] = found.split()
        assert len(ids) == 1, f"pod {namespace}/{name} has {len(ids)} sandboxes"
        return ids[0]

    def pod_netns(self, name: str, namespace: str = "default") -> Path:
        """Return the path of a pod's network namespace, as the runtime gives it to CNI."""
        info = json.loads(self.ctr("containers", "info", self.sandbox(name, namespace)))
        namespaces = info["Spec"]["linux"]["namespaces"]
        return Path(next(entry["path"] for entry in namespaces if entry["type"] == "network"))

    def in_pod(self, name: str, *argv: str, namespace: str = "default") -> str:
        """Run one of the machine's programs in the pod's network namespace: quicker, and with `ip -j`."""
        command = ["nsenter", f"--net={self.pod_netns(name, namespace)}", "--", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(argv)} in pod {name}: {done.stderr}{done.stdout}"
        return done.stdout

    def ctr(self, *arguments: str) -> str:
        """Ask containerd itself."""
        return self.node.run("ctr", "-a", str(self.folder / "containerd.sock"), "-n", "k8s.io", *arguments)

    def import_image(self, archive: Path) -> None:
        """Give containerd an image: nothing is pulled here."""
        self.ctr("image", "import", "--snapshotter", settings.snapshotter(self.folder), str(archive))

    def runtime_pid(self) -> int:
        """Return containerd's process, which is in the mount namespace of the host."""
        return self._programs["containerd"].pid

    # ---- metacni

    def start_agent(self, **own: object) -> None:
        """Install the shim and start the agent with these settings (YAML keys); return when its socket answers."""
        self.agent.start(own)

    def restart_agent(self) -> None:
        """Start the agent that was ended, with the settings it had."""
        self.agent.restart()

    def kill_agent(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send the agent a signal that ends it, and wait for that."""
        self.agent.end(how)

    def stop_agent(self) -> None:
        """End the agent, if one runs, as an upgrade would."""
        self.agent.end(signal.SIGTERM)

    def last_words(self, program: str) -> str:
        """Return the end of a program's log: kubelet or containerd."""
        log = self.folder / f"{program}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else "no log"

    # ---- programs

    def _start_containerd(self) -> None:
        binary, template, _ = RUNTIMES[self.runtime]
        config = self.folder / "containerd.toml"
        config.write_text(settings.containerd(template, self.folder, self.bin_dir, self.conf_dir))
        # its shim is looked for on the PATH first; its plugins inherit the agent's address from it
        environment = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "METACNI_SOCKET": str(self.socket)}
        self.spawn("containerd", [str(binary), "--config", str(config)], environment)
        self.wait_until("containerd answers", lambda: self._answers("containerd", "version"))
        write_image(self.folder / "image.tar")
        self.import_image(self.folder / "image.tar")

    def _start_kubelet(self) -> None:
        config = self.folder / "kubelet.yaml"
        config.write_text(settings.kubelet(self.folder, self.node.cgroup))
        options = {
            "--config": config,
            "--kubeconfig": self.api.kubeconfig,
            "--root-dir": self.folder / "kubelet",
            "--cert-dir": self.folder / "kubelet-certificates",
            "--hostname-override": NODE_NAME,
            "--node-ip": ADDRESS,
        }
        flags = [f"{name}={value}" for name, value in options.items()]
        self.spawn("kubelet", [str(KUBERNETES / "kubelet"), *flags], {})
        self.wait_until("the node is registered", self._registered)

    def _registered(self) -> bool:
        assert self._programs["kubelet"].poll() is None, f"the kubelet ended: {self.last_words('kubelet')}"
        return bool(self.get("nodes")["items"])

    def _answers(self, program: str, *arguments: str) -> bool:
        assert self._programs[program].poll() is None, f"{program} ended: {self.last_words(program)}"
        try:
            self.ctr(*arguments)
        except AssertionError:
            return False
        return True

    def stop_kubelet(self) -> None:
        """End the kubelet, if it runs; its pods run on."""
        self.end("kubelet", signal.SIGTERM)

    def _end_containers(self) -> None:
        for task in self.ctr("task", "ls", "-q").split():
            self.ctr("task", "delete", "--force", task)
        for container in self.ctr("containers", "ls", "-q").split():
            self.ctr("containers", "delete", container)

    def _end_containerd(self) -> None:
        self.end("containerd", signal.SIGTERM)

    def spawn(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start a program in the node's network namespace; its log is `<name>.log` of the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._programs[name] = subprocess.Popen(
                self.node.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def runs(self, name: str) -> bool:
        """Tell whether a program lives."""
        return name in self._programs and self._programs[name].poll() is None

    def end(self, name: str, how: signal.Signals, seconds: float = 40) -> None:
        """End a program, if it was started, and wait for that."""
        program = self._programs.pop(name, None)
        if program is None:
            return
        program.send_signal(how)
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(seconds)
            raise AssertionError(f"{name} did not end within {seconds:.0f} s of {how.name}") from None
