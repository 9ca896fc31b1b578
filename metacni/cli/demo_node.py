# SPDX-License-Identifier: Apache-2.0
"""The demo's node: an agent, two kinds of wire, and pods; and the runtime's part, calling the shim as containerd does.

It runs inside the namespaces that cli/demo.py made, and refuses to run anywhere else.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metacni.agent import inventory
from metacni.agent.inventory import Sandbox
from metacni.cli import demo_example, programs
from metacni.cli.command import CommandError
from metacni.cli.install import install
from metacni.cni import jsontext
from metacni.cni.errors import from_output
from metacni.exec.pending import Pending
from metacni.journal.journal import Journal

RUN = Path("/run/metacni-demo")
LEASES = Path("/var/lib/cni")
BOOKKEEPING = ("last_reserved_ip", "lock")
"""host-local's own files, which it never removes; a bridge stays likewise."""
START_SECONDS = 20.0
STOP_SECONDS = 40.0
"""More than the agent takes to let its requests end (30 s)."""


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
        read = demo_example.load(example)
        self._config = {**read.config, "binDir": str(RUN / "bin")}
        self.pods = [DemoPod(name=pod.name, namespace=pod.namespace, annotations=pod.annotations) for pod in read.pods]

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
        printed = self._call("ADD", pod)
        try:
            pod.result = json.loads(printed)
        except ValueError as cause:
            raise CommandError(f"ADD of pod {pod.name} answered no JSON: {cause}") from cause
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
            programs.finished(self._agent, STOP_SECONDS)

    def log(self) -> str:
        """The agent's log, for a failure's report: it vanishes with the node."""
        return (RUN / "agent.log").read_text(errors="replace") if (RUN / "agent.log").exists() else ""

    def inventory(self) -> Sequence[Sandbox]:
        """What the agent's journal holds."""
        with closing(Journal(RUN / "state", read_only=True)) as journal:
            return inventory.take(journal, Pending(RUN))

    def _start_agent(self) -> None:
        state, socket, settings = RUN / "state", RUN / "cni.sock", RUN / "agent.yaml"
        settings.write_text('{"hostPaths": ["/"]}')  # our mount namespace is all the host there is for this agent
        command = [sys.executable, "-m", "metacni.cli.main", "agent", "--definitions", str(self._example)]
        command += ["--config", str(settings)]
        self._agent = programs.started(
            [*command, "--state-dir", str(state), "--socket", str(socket), "--host-pid", "0"], RUN / "agent.log"
        )
        until = time.monotonic() + START_SECONDS
        while not socket.exists():
            if self._agent.poll() is not None or time.monotonic() > until:
                raise CommandError("the agent does not start")
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
        given: dict[str, jsontext.Json] = {
            "runtimeConfig": {"io.kubernetes.cri.pod-annotations": dict(pod.annotations)}
        }
        shim = [str(RUN / "bin" / "metacni")]
        stdin = jsontext.dumps({**self._config, **given}).decode()
        status, printed, said = programs.ended(shim, stdin=stdin, env=environment)
        if status != 0:
            raise CommandError(f"{verb} of pod {pod.name} failed: {_in_words(status, printed, said)}")
        return printed

    def _links(self) -> set[str]:
        """The node's links but for bridges, which delegates leave for the next pod."""
        found = json.loads(programs.output("ip", "-j", "-d", "link"))
        return {one["ifname"] for one in found if one.get("linkinfo", {}).get("info_kind") != "bridge"}


def _in_words(status: int, printed: str, said: str) -> str:
    """A CNI error as one line: message, and the hint in brackets."""
    try:
        body = json.loads(printed)
        msg, hint = body["msg"], body.get("details")
    except (ValueError, LookupError, TypeError, AttributeError):  # it died, or spoke otherwise
        fault = from_output(status, printed.encode(), said.encode())
        msg, hint = fault.msg, fault.details
    return " ".join(f"{msg} ({hint})".split()) if hint else " ".join(str(msg).split())


def namespaces() -> tuple[str, ...]:
    """The network and mount namespace of this process, as the kernel names them."""
    return tuple(str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt"))


def _require_private(outside: Sequence[str]) -> None:
    """What follows mounts over /run and adds links, so make sure that this is not the machine's own namespace."""
    if len(outside) != len(namespaces()) or set(outside) & set(namespaces()):
        raise CommandError("this half of the demo runs inside its own namespaces only: call `metacni demo`")
