# SPDX-License-Identifier: Apache-2.0
"""A node of its own on which any of our delegates works, in this process or as a program that dies when told to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delegates._program import Edges, IpamPrograms
from delegates._skeleton import Delegate
from metacni.netns.netlink import Netlink
from metacni.netns.opener import Opener
from tests.kernel.conftest import Namespace, run_ip

ROOT = Path(__file__).parents[2]
KILLED = Path(__file__).with_name("killed_at_send.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node with one delegate; its settings and leases are files of the test."""

    delegate: Delegate[Any]
    namespace: Namespace
    opener: Opener
    fd: int
    folder: Path
    made: list[int] = field(default_factory=list)
    """What may go with its group."""

    def ipam(self, **more: Any) -> dict[str, Any]:
        """Leases of both families, few enough to run out."""
        pools = [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd01::/125"}]]
        return {"type": "host-local", "dataDir": str(self.folder / "leases"), "ranges": pools} | more

    def call(
        self, verb: str, config: dict[str, Any], pod: Namespace | None, container: str = "c1", ifname: str = "eth0"
    ) -> Any:
        """One operation in this process."""

        def host() -> AbstractContextManager[Netlink]:
            return Netlink(self.opener.socket(self.fd))

        fd = os.open(pod.path, os.O_RDONLY | os.O_CLOEXEC) if pod else None
        edges = Edges(
            opener=self.opener, host=host, ipam=IpamPrograms(()), sysctls=self.folder / "sys", made=self.made.append
        )
        variables = self.variables(verb, pod, container) | {"CNI_IFNAME": ifname}
        try:
            output = self.delegate.serve(variables, json.dumps(config).encode(), pod=fd, edges=edges)
        finally:
            if fd is not None:
                os.close(fd)
        return json.loads(output) if output else None

    def killed(self, verb: str, config: dict[str, Any], pod: Namespace | None, before: int = 0) -> int:
        """One operation as a program, killed before this message to the kernel (from 1 on); its exit status."""
        module = f"delegates.{self.delegate.name.replace('-', '_')}"
        done = subprocess.run(
            self.namespace.command(sys.executable, str(KILLED), str(before), module),
            input=json.dumps(config).encode(),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | self.variables(verb, pod, "c1"),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode <= 0, done.stdout
        return done.returncode

    def leases(self) -> list[str]:
        """The addresses that are leased."""
        folder = self.folder / "leases/net"
        return sorted(file.name for file in folder.iterdir() if file.name[0] in "1f") if folder.is_dir() else []

    def links(self) -> list[str]:
        """The names of the node's links."""
        return [link["ifname"] for link in run_ip(self.namespace, "link") if link["ifname"] != "lo"]

    def variables(self, verb: str, pod: Namespace | None, container: str) -> dict[str, str]:
        """The variables of a call."""
        path = str(pod.path) if pod else ""
        return {
            "CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": path, "CNI_IFNAME": "eth0", "CNI_PATH": "/x"
        }  # fmt: skip


@contextmanager
def node(delegate: Delegate[Any], host: Namespace, folder: Path) -> Iterator[Node]:
    """A node, its settings those that a real one has."""
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        (folder / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sys" / name).write_text("0\n")
    opener = Opener()
    opener.start()
    fd = os.open(host.path, os.O_RDONLY | os.O_CLOEXEC)
    yield Node(delegate=delegate, namespace=host, opener=opener, fd=fd, folder=folder)
    os.close(fd)
    opener.stop()
