# SPDX-License-Identifier: Apache-2.0
"""The demo's node: an agent, two kinds of wire, and pods; and the runtime's part, calling the shim as containerd does.

It runs inside the namespaces that cli/demo.py made, and refuses to run anywhere else.
"""

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from metacni.cli import programs
from metacni.cli.command import CommandError
from metacni.cli.install import install

RUN = Path("/run/metacni-demo")
LEASES = Path("/var/lib/cni")
BOOKKEEPING = ("last_reserved_ip", "lock")
"""host-local's own files, which it never removes; a bridge stays likewise."""
START_SECONDS = 20.0


@dataclass(kw_only=True)
class DemoPod:
    """One pod: its namespace, and what attaching it returned."""

    name: str
    namespace: str = "default"
    annotations: Mapping[str, str]
    sandbox: str = field(default_factory=lambda: uuid.uuid4().hex)
    result: dict[str, Any] = field(default_factory=dict)
    milliseconds: float = 0.0

    @property
    def netns(self) -> str:
        """The path that CNI_NETNS holds."""
        return f"/run/netns/{self.name}"


class DemoNode:
    """A node with an agent on it."""

    def __init__(self, example: Path, plugins: Path, outside: Sequence[str]) -> None:
        self._outside = outside
        self._example = example
        self._plugins = plugins
        self._agent: programs.Running | None = None
        self._links_before: set[str] = set()
        try:
            self._config = _config(example)
            self.pods = _pods(example)
        except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError) as cause:
            raise CommandError(f"cannot use the example {str(example)!r}: {' '.join(str(cause).split())}") from cause

    def start(self) -> None:
        """Make the node: private folders, its wires, the shim, the agent, and a namespace for each pod."""
        _require_private(self._outside)
        for folder in ("/run", str(LEASES)):
            programs.output("mount", "-t", "tmpfs", "metacni-demo", folder)
        RUN.mkdir()
        install(RUN / "bin")
        programs.output("ip", "link", "set", "lo", "up")
        programs.output(
            "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1-wire"
        )  # the node's second NIC, for macvlan
        programs.output("ip", "link", "set", "eth1", "up")
        programs.output("ip", "link", "set", "eth1-wire", "up")
        for pod in self.pods:
            programs.output("ip", "netns", "add", pod.name)
        self._links_before = self._links()
        self._start_agent()

    def add(self, pod: DemoPod) -> None:
        """ADD, as a runtime calls it; the merged result is the pod's."""
        begin = time.perf_counter()
        pod.result = json.loads(self._call("ADD", pod))
        pod.milliseconds = (time.perf_counter() - begin) * 1000

    def delete(self, pod: DemoPod) -> None:
        """DEL, as a runtime calls it."""
        self._call("DEL", pod)

    def addresses(self, pod: DemoPod) -> dict[str, list[str]]:
        """What the kernel says: interface name → addresses with prefix."""
        found = json.loads(programs.output("ip", "-n", pod.name, "-j", "addr"))
        return {
            one["ifname"]: [f"{a['local']}/{a['prefixlen']}" for a in one["addr_info"] if a["scope"] == "global"]
            for one in found
            if one["ifname"] != "lo"
        }

    def ping(self, pod: DemoPod, interface: str, address: str) -> bool:
        """Whether `address` answers one ping sent from `interface` of the pod."""
        command = ["ip", "netns", "exec", pod.name, "ping", "-c", "1", "-W", "3", "-I", interface, address]
        return programs.ended(command)[0] == 0

    def leftovers(self) -> list[str]:
        """Whatever of the pods is still there: links, leases, records."""
        found = [f"interface {name} in pod {pod.name}" for pod in self.pods for name in self.addresses(pod)]
        found += [f"interface {name} on the node" for name in self._links() - self._links_before]
        found += [
            str(file)
            for file in LEASES.rglob("*")
            if file.is_file() and not file.name.startswith(BOOKKEEPING) and "metacni" not in file.parts
        ]
        found += [
            str(file) for folder in (RUN / "state" / "sandboxes", RUN / "pending") for file in folder.glob("[!.]*")
        ]
        return found

    def stop(self) -> None:
        """Stop the agent; the namespaces end with this process."""
        if self._agent is not None:
            self._agent.send_signal(signal.SIGTERM)
            self._agent.wait(30)

    def log(self) -> str:
        """The end of the agent's log, for a failure's report."""
        return (RUN / "agent.log").read_text()[-2000:] if (RUN / "agent.log").exists() else ""

    def _start_agent(self) -> None:
        state, socket = RUN / "state", RUN / "cni.sock"
        command = [sys.executable, "-m", "metacni.cli.main", "agent", "--definitions", str(self._example)]
        self._agent = programs.started(
            [*command, "--state-dir", str(state), "--socket", str(socket)], RUN / "agent.log"
        )
        until = time.monotonic() + START_SECONDS
        while not socket.exists():
            if self._agent.poll() is not None or time.monotonic() > until:
                raise CommandError(f"the agent does not start: {self.log()}")
            time.sleep(0.02)

    def _call(self, verb: str, pod: DemoPod) -> str:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "METACNI_SOCKET": str(RUN / "cni.sock"),
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": pod.sandbox,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self._plugins),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name}",
        }
        given = {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": dict(pod.annotations)}}
        shim = [str(RUN / "bin" / "metacni")]
        status, printed, said = programs.ended(shim, stdin=json.dumps(self._config | given), env=environment)
        if status != 0:
            raise CommandError(f"{verb} of pod {pod.name} failed: {printed.strip()} {said.strip()}")
        return printed

    def _links(self) -> set[str]:
        """The node's links but for bridges, which delegates leave for the next pod."""
        found = json.loads(programs.output("ip", "-j", "-d", "link"))
        return {one["ifname"] for one in found if one.get("linkinfo", {}).get("info_kind") != "bridge"}


def _config(example: Path) -> dict[str, Any]:
    """The configuration that the runtime hands over."""
    body = json.loads((example / "node.conflist").read_text())
    config: dict[str, Any] = body["plugins"][0] | {
        "name": body["name"],
        "cniVersion": body["cniVersion"],
        "binDir": str(RUN / "bin"),
    }
    if (example / "net.d").is_dir():  # the files that stand on each node's disk
        config["confDir"] = str(example / "net.d")
    return config


def _pods(example: Path) -> list[DemoPod]:
    manifests = yaml.safe_load_all((example / "definitions.yaml").read_text())
    found = [one["metadata"] for one in manifests if one is not None and one["kind"] == "Pod"]
    return [
        DemoPod(name=one["name"], namespace=one.get("namespace", "default"), annotations=one.get("annotations") or {})
        for one in found
    ]


def namespaces() -> tuple[str, ...]:
    """The network and mount namespace of this process, as the kernel names them."""
    return tuple(str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt"))


def _require_private(outside: Sequence[str]) -> None:
    """What follows mounts over /run and adds links, so make sure that this is not the machine's own namespace."""
    if len(outside) != len(namespaces()) or set(outside) & set(namespaces()):
        raise CommandError("this half of the demo runs inside its own namespaces only: call `metacni demo`")
