# SPDX-License-Identifier: Apache-2.0
"""A node of its own on which our bridge is resident, for tests that look at it from all sides."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delegates._program import Edges
from delegates.bridge import DELEGATE
from metacni.cni.names import PluginType
from metacni.netns.netlink import Netlink
from metacni.netns.opener import Opener
from tests.kernel.conftest import Namespace, run_ip

LAYER2 = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br1"}
POOL = {"subnet": "10.1.0.0/29"}


class FarIpam:
    """A foreign IPAM that leases, and notes what it is asked."""

    def __init__(self, output: str) -> None:
        self.verbs: list[str] = []
        self._output = output

    def run(self, kind: PluginType, environment: Mapping[str, str], stdin: bytes) -> bytes:
        """Answer the same each time."""
        assert (kind, bool(stdin)) == ("far", True)
        self.verbs.append(environment["CNI_COMMAND"])
        return self._output.encode()


@dataclass(frozen=True, slots=True)
class Node:
    """A node whose bridge is resident; its settings are files of the test."""

    namespace: Namespace
    opener: Opener
    fd: int
    folder: Path
    ipam: FarIpam

    def edges(self) -> Edges:
        """The outside world of one worker."""

        def host() -> AbstractContextManager[Netlink]:
            return Netlink(self.opener.socket(self.fd))

        return Edges(opener=self.opener, host=host, ipam=self.ipam, sysctls=self.folder / "sys")

    def config(self, **more: Any) -> dict[str, Any]:
        """A network with a gateway and two range sets."""
        pools = [[POOL], [{"subnet": "fd01::/125"}]]
        ipam = {"type": "host-local", "dataDir": str(self.folder / "leases"), "ranges": pools}
        base = {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "bridge",
            "bridge": "br1",
            "isGateway": True,
            "ipam": ipam,
        }
        return base | more

    def call(self, verb: str, config: dict[str, Any], pod: Namespace | None, container: str = "c1") -> Any:
        """One operation."""
        path = str(pod.path) if pod else ""
        variables = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": path, "CNI_IFNAME": "eth0"}
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else None
        try:
            output = DELEGATE.serve(variables, json.dumps(config).encode(), pod=fd, edges=self.edges())
        finally:
            if fd is not None:
                os.close(fd)
        return json.loads(output) if output else None

    def links(self) -> list[str]:
        """The names of the node's links but the two that stay."""
        return [link["ifname"] for link in run_ip(self.namespace, "link") if link["ifname"] not in ("lo", "br1")]

    def leases(self) -> list[str]:
        """The addresses that are leased."""
        folder = self.folder / "leases/net"
        return sorted(file.name for file in folder.iterdir() if file.name[0] in "1f") if folder.is_dir() else []


@contextmanager
def bridged(host: Namespace, folder: Path) -> Iterator[Node]:
    """A node, its settings those that a real one has."""
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        (folder / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sys" / name).write_text("0\n")
    opener = Opener()
    opener.start()
    fd = os.open(host.path, os.O_RDONLY | os.O_CLOEXEC)
    answer = '{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.2/29"}]}'
    yield Node(host, opener, fd, folder, FarIpam(answer))
    os.close(fd)
    opener.stop()
