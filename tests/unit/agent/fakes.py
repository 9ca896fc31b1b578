# SPDX-License-Identifier: Apache-2.0
"""In-memory edges for the agent's tests: plugins by script, definitions from dicts, a publisher that remembers.

Only the journal of these tests is the real one; nothing here decides anything that the agent should.
"""

import errno
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metacni.agent.node import Node, Request
from metacni.agent.resident import Delegate, Residents
from metacni.agent.settings import Settings
from metacni.cni import environment
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, PluginType
from metacni.core.routes import RoutePlan
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output
from metacni.journal.journal import Journal
from metacni.journal.record import Record
from metacni.kube.source import Health, NetworkDefinition, PodInfo, PodRef
from metacni.netns.opener import Opener

ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team;K8S_POD_NAME=web;K8S_POD_UID=u1"
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
DONE = Output(status=0, stdout=b"", stderr=b"")

Reply = Output | Exception | Callable[[Execution], Output]


def output(body: object, *, status: int = 0, stderr: bytes = b"") -> Output:
    """What a plugin that prints this JSON leaves behind."""
    return Output(status=status, stdout=json.dumps(body).encode(), stderr=stderr)


def failure(code: int, msg: str, details: str = "") -> Output:
    """What a plugin that fails with a CNI error leaves behind."""
    return output({"code": code, "msg": msg, "details": details}, status=1)


def stdin_of(execution: Execution) -> dict[str, Any]:
    """What a plugin reads."""
    body: dict[str, Any] = json.loads(execution.stdin)
    return body


def verb_of(execution: Execution) -> str:
    """What a plugin is told to do."""
    return execution.environment["CNI_COMMAND"]


def attached(execution: Execution) -> Output:
    """What an obedient plugin prints for ADD: what came before it, else one interface with one address."""
    body = stdin_of(execution)
    if "prevResult" in body:
        return output(body["prevResult"])
    name = execution.environment["CNI_IFNAME"]
    number = name.removeprefix("net") if name.startswith("net") else "0"
    interface = {"name": name, "mac": f"02:00:00:00:00:0{number}", "sandbox": execution.environment["CNI_NETNS"]}
    address = {"address": f"10.0.{number}.2/24", "gateway": f"10.0.{number}.1", "interface": 0}
    return output({"cniVersion": body["cniVersion"], "interfaces": [interface], "ips": [address]})


class FakeRunner:
    """Plugins that answer by (type, verb), in order and the last answer again; unscripted ones obey."""

    def __init__(self, *, missing: Sequence[str] = ()) -> None:
        self.missing = frozenset(PluginType(name) for name in missing)
        self.executions: list[Execution] = []
        self.timeouts: list[float] = []
        self.finds: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self._script: dict[tuple[str, str], deque[Reply]] = {}

    def script(self, plugin: str, verb: str, *replies: Reply) -> None:
        """Say what this plugin does from now on; an exception is raised by the runner itself."""
        self._script[plugin, verb] = deque(replies)

    def forget(self) -> None:
        """Begin a new record of what ran."""
        self.executions.clear()

    def find(self, types: Sequence[PluginType], path: Sequence[str]) -> frozenset[PluginType]:
        """Those that the test says are missing."""
        self.finds.append((tuple(types), tuple(path)))
        return self.missing & frozenset(types)

    def run(self, execution: Execution, *, timeout: float) -> Output:
        """Play the next reply."""
        self.executions.append(execution)
        self.timeouts.append(timeout)
        reply = self._next(execution.type, verb_of(execution))
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Output) else reply(execution)

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """(verb, plugin, interface) of all that ran."""
        return [(verb_of(one), one.type, one.environment["CNI_IFNAME"]) for one in self.executions]

    def _next(self, plugin: str, verb: str) -> Reply:
        replies = self._script.get((plugin, verb))
        if not replies:
            return attached if verb == "ADD" else DONE
        return replies.popleft() if len(replies) > 1 else replies[0]


@dataclass
class FakeSource:
    """Definitions and pods in dicts, by (namespace, name); `fault` is what every read beyond the cache raises."""

    definitions: dict[tuple[str, str], str] = field(default_factory=dict)
    pods: dict[tuple[str, str], PodInfo] = field(default_factory=dict)
    live: dict[tuple[str, str], PodInfo] = field(default_factory=dict)
    fault: Exception | None = None
    condition: Health = field(default_factory=lambda: Health(synced=True, age_seconds=0.0))
    reads: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def definition(self, namespace: str, name: str) -> NetworkDefinition | None:
        """The cache first; what is not there is asked for live."""
        found = self.definitions.get((namespace, name))
        if found is not None:
            return NetworkDefinition(namespace=namespace, name=name, config=found)
        self._ask(f"definition {namespace}/{name}")
        return None

    def pod(self, namespace: str, name: str) -> PodInfo | None:
        """From the cache."""
        return self.pods.get((namespace, name))

    def pod_live(self, namespace: str, name: str) -> PodInfo | None:
        """From the API server."""
        self._ask(f"pod {namespace}/{name}")
        return self.live.get((namespace, name))

    def health(self) -> Health:
        """As the test says."""
        return self.condition

    def _ask(self, what: str) -> None:
        self.reads.append(what)
        if self.fault is not None:
            raise self.fault


@dataclass
class FakePublisher:
    """Remembers what it was told; a status is written when the test calls its `done`."""

    statuses: list[tuple[PodRef, str, Callable[[], None]]] = field(default_factory=list)
    events: list[tuple[str, str, bool]] = field(default_factory=list)
    sandboxes: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    lag_seconds: float = 0.0

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def status(self, pod: PodRef, text: str, done: Callable[[], None], *, sandbox: str) -> None:
        """Remember it."""
        self.sandboxes.append(sandbox)
        self.statuses.append((pod, text, done))

    def event(self, pod: PodRef, *, reason: str, message: str, warning: bool) -> None:
        """Remember it; every test has the same pod."""
        assert (pod.namespace, pod.name) == ("team", "web")
        self.events.append((reason, message, warning))

    def forget(self, sandbox: str) -> None:
        """Remember it."""
        self.forgotten.append(sandbox)


@dataclass
class FakeRoutes:
    """Remembers the route plans; raises `fault` instead if there is one."""

    plans: list[RoutePlan] = field(default_factory=list)
    fault: Exception | None = None

    def __call__(self, netns: int, routes: RoutePlan) -> None:
        """Carry nothing out."""
        os.fstat(netns)  # it must be open still
        if self.fault is not None:
            raise self.fault
        self.plans.append(routes)


@dataclass
class FakeExecutor:
    """Hands the same plugins out as the shim does; or raises `fault` instead, if there is one."""

    plugins: FakeRunner
    fault: CniError | None = None
    started: int = 0

    @contextmanager
    def runner(self) -> Iterator[FakeRunner]:
        """Start one."""
        if self.fault is not None:
            raise self.fault
        self.started += 1
        yield self.plugins


@dataclass
class FakePending:
    """Remembers whose recorded DEL is done."""

    settled: list[str] = field(default_factory=list)

    def done(self, container_id: ContainerId) -> None:
        """Remember it."""
        self.settled.append(container_id)


class FullDiskJournal(Journal):
    """The real journal on a disk that has room for so many more writes; the ones after that fail with ENOSPC."""

    def __init__(self, state_dir: Path, *, room: int) -> None:
        super().__init__(state_dir)
        self.room = room

    def use(self) -> None:
        """Make one write, if there is room."""
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self.room -= 1

    def begin(self, container_id: ContainerId, plan: bytes, **more: Any) -> Record:
        """Begin a record, if there is room."""
        self.use()
        return super().begin(container_id, plan, **more)

    def _record(self, container_id: ContainerId) -> Record:
        real = super()._record(container_id)
        return _FullDiskRecord(real.container_id, parent=self._fd, path=real.path, lock=self._status_lock).on(self)


class _FullDiskRecord(Record):
    __slots__ = ("_disk",)

    def on(self, disk: FullDiskJournal) -> "_FullDiskRecord":
        self._disk = disk
        return self

    def _replace(self, name: str, content: bytes) -> None:
        self._disk.use()
        super()._replace(name, content)


def default_delegate(**keys: object) -> dict[str, Any]:
    """The default network of these tests, one plugin."""
    return {"cniVersion": "1.1.0", "name": "cbr0", "type": "bridge", "ipam": {"type": "host-local"}, **keys}


def network(plugin: str, *more: str, name: str = "", version: str = "1.1.0", **keys: object) -> str:
    """A definition's text: a list of plugins of these types; `keys` go into the first one."""
    plugins: list[dict[str, Any]] = [{"type": each} for each in (plugin, *more)]
    plugins[0] |= keys
    return json.dumps({"cniVersion": version, "name": name or f"{plugin}-net", "plugins": plugins})


def pod(uid: str = "u1", *, networks: str = "", static: bool = False) -> PodInfo:
    """The pod of these tests, as the API shows it."""
    return PodInfo(namespace="team", name="web", uid=uid, annotations={NETWORKS: networks}, static=static)


def node_config(*delegates: Mapping[str, Any], **keys: object) -> dict[str, Any]:
    """What the runtime hands over on stdin."""
    chosen = list(delegates) or [default_delegate()]
    return {"cniVersion": "1.1.0", "name": "node-net", "type": "metacni", "delegates": chosen, **keys}


def residents(*delegates: Delegate, types: frozenset[str] | None = None) -> Residents:
    """These delegates in an agent that can enter no pod, and that sees /shared of the node's files."""
    return Residents(
        delegates,
        opener=Opener(),
        types=types,
        visible=lambda path: path.startswith("/shared"),
        sysctls=Path("/proc/sys/net"),
    )


@dataclass
class Bench:
    """One agent of fakes around a real journal, and a runtime that calls it."""

    folder: Path
    node: Node
    runner: FakeRunner
    source: FakeSource
    publisher: FakePublisher
    routes: FakeRoutes
    pending: FakePending
    executor: FakeExecutor
    netns: int
    """An open file that stands for the pod's namespace: only what it is, is ever asked."""

    @property
    def path(self) -> str:
        """The path that leads to it."""
        return str(self.folder / "netns")

    def load(self, *delegates: Delegate, types: frozenset[str] | None = None) -> None:
        """Start it anew with these delegates."""
        self.node = replace(self.node, residents=residents(*delegates, types=types))

    def request(self, verb: str, *, container: str = "c1", args: str = ARGS, **more: Any) -> Request:
        """One call; `netns`, `config`, `stdin`, `parent`, `runner` and `seconds` may differ from the usual.

        `networks` puts the annotation into the configuration, as containerd does.
        """
        config = more.get("config") or node_config()
        if "networks" in more:
            config = config | {"runtimeConfig": {ANNOTATIONS: {NETWORKS: more["networks"]}}}
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": self.path,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": args,
            "CNI_PATH": "/usr/lib/cni",
        }
        return Request(
            environment=environment.parse(variables),
            stdin=more.get("stdin", json.dumps(config).encode()),
            parent=more.get("parent", "containerd"),
            netns=more.get("netns", self.netns),
            runner=more.get("runner", self.runner),
            deadline=time.monotonic() + more.get("seconds", 30.0),
        )

    def record(self, container: str = "c1") -> Path:
        """The folder of a sandbox's record."""
        return self.folder / "state" / "sandboxes" / container

    def files(self, container: str = "c1") -> list[str]:
        """What a record holds; [] when there is none."""
        return sorted(file.name for file in self.record(container).iterdir()) if self.record(container).exists() else []

    def damage(self, name: str, container: str = "c1") -> None:
        """Let a file of the record rot."""
        file = self.record(container) / name
        file.write_bytes(file.read_bytes()[:-1])


def bench(folder: Path, journal: Journal, settings: Settings | None = None) -> Bench:
    """An agent over this journal; `folder` holds the state in `state` and the namespace in `netns`."""
    (folder / "netns").touch()
    source, publisher, routes, pending = FakeSource(), FakePublisher(), FakeRoutes(), FakePending()
    source.pods["team", "web"] = pod()
    runner = FakeRunner()
    executor = FakeExecutor(runner)
    node = Node(
        settings=settings or Settings(cni_conf_dir=folder / "none"),
        journal=journal,
        source=source,
        publisher=publisher,
        routes=routes,
        pending=pending,
        executor=executor,
        residents=residents(),
        require_foreign=lambda _fd: None,
    )
    return Bench(
        folder=folder,
        node=node,
        runner=runner,
        source=source,
        publisher=publisher,
        routes=routes,
        pending=pending,
        executor=executor,
        netns=os.open(folder / "netns", os.O_RDONLY | os.O_CLOEXEC),
    )
