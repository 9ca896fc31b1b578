# SPDX-License-Identifier: Apache-2.0
"""A node for one test: an agent in a network namespace and a mount namespace of its own, called as a runtime calls it.

Its /run and its /var/lib are folders of the test, so the agent, the shim and the plugins use the paths that they use on
any node (socket, journal, leases), and nothing of the machine's is touched. The fixture `node` proves at its end that
the agent met nothing unforeseen. This file judges no result: the tests do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import pytest
import yaml

from metacni.cli.install import install
from tests import parts
from tests.kernel.call import Answer, Call
from tests.kernel.conftest import Namespace, fresh_namespace, run_ip
from tests.kernel.networks import node_config

SCRIPTED: Final = Path(__file__).parent / "plugins" / "scripted.py"
DEBIAN_PLUGINS: Final = Path("/usr/lib/cni")
ANNOTATION: Final = "k8s.v1.cni.cncf.io/networks"
WAIT: Final = 20.0
BOOKKEEPING: Final = ("last_reserved_ip", "lock")  # host-local keeps these two for good

_PRIVATE: Final = """
set -e
cd "$1"
mkdir -p run/netns varlib/cni netns
mount --rbind /run/netns netns
mount --bind run /run
mount --move netns /run/netns
mount --bind varlib /var/lib
echo ready
exec sleep 600
"""
"""Namespaces that are made later still appear below /run/netns: the mount is a slave of the machine's."""


@dataclass(kw_only=True)
class Pod:
    """A pod as the runtime knows it."""

    namespace: Namespace
    name: str
    annotations: dict[str, str]
    uid: str = ""
    sandbox: str = field(default_factory=lambda: uuid4().hex)
    made: ExitStack = field(default_factory=ExitStack, repr=False)

    def vanish(self) -> None:
        """Take the network namespace away, as a runtime does before or after DEL."""
        self.made.close()

    def addresses(self) -> dict[str, list[str]]:
        """What the kernel says: interface → global addresses with prefix."""
        return {
            one["ifname"]: [f"{a['local']}/{a['prefixlen']}" for a in one["addr_info"] if a["scope"] == "global"]
            for one in run_ip(self.namespace, "addr")
            if one["ifname"] != "lo"
        }

    def ping(self, interface: str, address: str) -> None:
        """Fail unless `address` answers through this interface."""
        self.namespace.run("ping", "-c", "1", "-W", "3", "-I", interface, address.partition("/")[0])


class Node:
    """A node with its agent, a NIC `eth1` on a wire, and the plugins of `plugins` and plugins/."""

    def __init__(self, host: Namespace, root: Path, plugins: Path = parts.PLUGINS) -> None:
        """Make the node; its agent is not started yet."""
        self.host = host
        self.root = root
        self.plugins = plugins
        self.definitions = root / "definitions"
        self.bin = root / "bin"
        self.config: dict[str, Any] = node_config()
        self.resident: str = "auto"
        self.agent: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._types: set[str] = set()
        self.definitions.mkdir()
        install(self.bin)
        self.program("scripted", f"#!{sys.executable} -IS\n{SCRIPTED.read_text()}")
        self._private = self._make_private()
        run_ip(host, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1-wire")
        run_ip(host, "link", "set", "eth1", "up")
        run_ip(host, "link", "set", "eth1-wire", "up")
        self._links = self._plain_links()

    def _make_private(self) -> subprocess.Popen[str]:
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _PRIVATE, "sh", str(self.root)]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._stack.callback(_end, holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        holder.stdout.close()
        return holder

    @property
    def real_parts(self) -> set[str]:
        """What a test with this node runs on (tests/parts.py)."""
        return {"shim"} | (self._types & parts.NAMES if self.plugins == parts.PLUGINS else set())

    @property
    def mounts_of(self) -> int:
        """A process in this node's mount namespace."""
        return self._private.pid

    @property
    def state(self) -> Path:
        """The agent's state folder."""
        return self.root / "varlib/cni/metacni"

    @property
    def run(self) -> Path:
        """The folder of the agent's socket."""
        return self.root / "run/metacni"

    def program(self, name: str, text: str) -> Path:
        """Put a plugin into the node's own plugin folder."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` on this node."""
        mounts = f"--mount=/proc/{self._private.pid}/ns/mnt"
        return ["nsenter", mounts, f"--net={self.host.path}", f"--wd={self.root}", "--", *argv]

    def sh(self, *argv: str) -> str:
        """Run a program on this node that must succeed; what it printed."""
        done = subprocess.run(self.inside(*argv), capture_output=True, text=True, check=False, timeout=WAIT)
        assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(
        self,
        *,
        program: Sequence[str] = ("-m", "metacni.cli.main"),
        variables: Mapping[str, str] = MappingProxyType({}),
        wait: bool = True,
        **settings: Any,
    ) -> None:
        """Start the agent with these settings; `program` may be another one of the same command line."""
        (self.root / "settings.yaml").write_text(yaml.safe_dump(self._settings() | settings))
        before = len(self.log())
        with (self.root / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                self.inside(
                    *(sys.executable, *program, "agent", "--definitions", str(self.definitions)),
                    *("--config", str(self.root / "settings.yaml"), "--host-pid", "0"),  # plugins run on this node
                ),
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(parts.ROOT)} | dict(variables),
            )
        if wait:
            agent = self.agent
            eventually(lambda: '"msg": "serving"' in self.log()[before:] or agent.poll() is not None)
            assert agent.poll() is None, self.log()

    def _settings(self) -> dict[str, Any]:
        """Its mount namespace is not process 1's, and yet shows what plugins see."""
        return {"cniConfDir": str(self.root / "net.d"), "hostPaths": ["/"], "resident": self.resident}

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; its exit status."""
        agent, self.agent = self.agent, None
        if agent is None:
            return 0
        agent.send_signal(how)
        return agent.wait(WAIT)

    def log(self) -> str:
        """All that the agents of this node have logged."""
        path = self.root / "agent.log"
        return path.read_text() if path.exists() else ""

    def define(self, name: str, config: Mapping[str, Any] | str | None, *, namespace: str = "demo") -> None:
        """Write a NetworkAttachmentDefinition; a text is taken as it is, None leaves the spec empty."""
        text = config if isinstance(config, str) else json.dumps(config)
        body: dict[str, Any] = {
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._write(f"{namespace}.{name}", body if config is None else body | {"spec": {"config": text}})
        self._types |= set(_types(config))

    def forget(self, name: str, *, namespace: str = "demo") -> None:
        """Take a definition away."""
        (self.definitions / f"{namespace}.{name}.yaml").unlink()

    def define_pod(self, pod: Pod) -> None:
        """Write the pod among the definitions, as the API server would know it."""
        metadata = {"name": pod.name, "namespace": "demo", "uid": pod.uid, "annotations": pod.annotations}
        self._write(f"pod.{pod.name}", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata})

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        unfinished = self.definitions / f".{name}"
        unfinished.write_text(yaml.safe_dump(body))
        unfinished.replace(self.definitions / f"{name}.yaml")

    def pod(self, networks: str = "", **more: Any) -> Pod:
        """Make a pod (a namespace) with this annotation."""
        made = ExitStack()
        namespace = made.enter_context(fresh_namespace())
        self._stack.callback(made.close)
        annotations = {ANNOTATION: networks} if networks else {}
        return Pod(namespace=namespace, name=namespace.name, annotations=annotations, made=made, **more)

    def popen(self, verb: str, pod: Pod | None = None, **more: Any) -> Call:
        """Begin a call of the shim; `more` are CNI_* variables in lower case without their prefix, `stdin`, `body`.

        `program` is the name under which the shim is called.
        """
        program = more.pop("program", "metacni")
        body = more.pop("body", self._stdin(pod))
        stdin = more.pop("stdin", json.dumps(body))
        self._types |= set(_types(body))
        environment = self._environment(verb, pod) | {f"CNI_{key.upper()}": str(value) for key, value in more.items()}
        process = subprocess.Popen(
            self.inside(str(self.bin / program)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={key: value for key, value in environment.items() if value},
        )
        return Call(process, stdin.encode())

    def _stdin(self, pod: Pod | None) -> dict[str, Any]:
        offered = {} if pod is None else {"io.kubernetes.cri.pod-annotations": pod.annotations}
        return {"binDir": str(self.bin)} | self.config | ({"runtimeConfig": offered} if offered else {})

    def _environment(self, verb: str, pod: Pod | None) -> dict[str, str]:
        environment = {"PATH": os.environ["PATH"], "CNI_COMMAND": verb, "CNI_PATH": str(self.plugins)}
        if pod is None:
            return environment
        uid = f";K8S_POD_UID={pod.uid}" if pod.uid else ""
        return environment | {
            "CNI_CONTAINERID": pod.sandbox,
            "CNI_NETNS": str(pod.namespace.path),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME={pod.name}{uid}",
        }

    def call(self, verb: str, pod: Pod | None = None, *, timeout: float = 30, **more: Any) -> Answer:
        """Call the shim and wait for its answer."""
        return self.popen(verb, pod, **more).answer(timeout)

    def add(self, pod: Pod, **more: Any) -> dict[str, Any]:
        """ADD, which must succeed; the result."""
        return self.call("ADD", pod, **more).result

    def delete(self, pod: Pod, **more: Any) -> None:
        """DEL, which must succeed and print nothing."""
        answer = self.call("DEL", pod, **more)
        assert (answer.status, answer.stdout) == (0, ""), answer

    def file_of(self, pod: Pod, name: str) -> Any:
        """One file of the pod's record in the journal, its checksum taken off."""
        return json.loads((self.state / "sandboxes" / pod.sandbox / name).read_text().partition("\n")[2])

    def records(self) -> list[str]:
        """What the journal holds, unfinished things included."""
        folder = self.state / "sandboxes"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def leases(self) -> list[str]:
        """host-local's leases: network/address."""
        folder = self.root / "varlib/cni/networks"
        found = (path for path in folder.glob("*/*") if not path.name.startswith(BOOKKEEPING))
        return sorted(str(path.relative_to(folder)) for path in found)

    def left(self, *pods: Pod) -> list[str]:
        """Whatever of any pod is still there: links, leases, records; and links inside those pods that still exist."""
        return [
            *(f"link {name}" for name in sorted(self._plain_links() - self._links)),
            *(f"lease {name}" for name in self.leases()),
            *(f"record {name}" for name in self.records()),
            *(f"pending {path.name}" for path in (self.run / "pending").glob("*")),
            *(f"tuning {path.name}" for path in (self.root / "run/cni").rglob("*") if path.is_file()),
            *(f"{name} in {pod.name}" for pod in pods if pod.namespace.path.exists() for name in pod.addresses()),
        ]

    def _plain_links(self) -> set[str]:
        """The node's links but bridges, which a plugin leaves for the next pod."""
        found = run_ip(self.host, "-d", "link")
        return {one["ifname"] for one in found if one.get("linkinfo", {}).get("info_kind") != "bridge"}

    def close(self) -> None:
        """End the agent, take the pods and the private mounts away."""
        try:
            self.stop()
        finally:
            self._stack.close()


def eventually(reached: Callable[[], object], *, seconds: float = WAIT) -> None:
    """Wait until it is so."""
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, f"not reached within {seconds:g} s"
        time.sleep(0.01)


def calls_of(path: Path) -> list[dict[str, Any]]:
    """What scripted plugins recorded there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def unforeseen(log: str) -> list[str]:
    """The lines of an agent's log that must never be there."""
    return [line for line in log.splitlines() if "unforeseen" in line or not line.startswith("{")]


def _types(value: object) -> Iterator[str]:
    """Every plugin type named in a configuration, at whatever depth."""
    if isinstance(value, list):
        for item in value:
            yield from _types(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key == "type" and isinstance(item, str):
                yield item
            yield from _types(item)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(WAIT)


@contextmanager
def made_node(root: Path, plugins: Path = parts.PLUGINS) -> Iterator[Node]:
    """A node for the body; afterwards nothing of it is left, and its agent met nothing unforeseen."""
    with fresh_namespace() as host:
        node = Node(host, root, plugins)
        try:
            yield node
        finally:
            node.close()
    assert not unforeseen(node.log())


@pytest.fixture
def node_of_test(tmp_path: Path) -> Iterator[Node]:
    """A node without its agent: define networks, then `node.start()`. A test module says `node = node_of_test`."""
    with made_node(tmp_path) as made:
        yield made


@pytest.fixture(params=["auto", "none"], ids=["delegates", "programs"])
def node_both_ways(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    """The same, once with our delegates in the agent and once with the reference's programs."""
    with made_node(tmp_path) as made:
        made.resident = request.param
        yield made
