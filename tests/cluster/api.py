# SPDX-License-Identifier: Apache-2.0
"""The API server of a test node: the one of the other tests, in the node's network namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.apiserver import ApiServer
from tests.parts import KUBERNETES

if TYPE_CHECKING:
    import subprocess

    from tests.cluster.node import Node

PORT = 16443


class NodeApi(ApiServer):
    """etcd and kube-apiserver on the loopback of a node's namespace; kubectl is run there, too."""

    def __init__(self, node: Node) -> None:
        super().__init__(KUBERNETES, node.folder / "api", PORT)
        self.node = node

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the admin in the namespace and return what it printed."""
        program = str(KUBERNETES / "kubectl")
        return self.node.run(program, "--kubeconfig", str(self.kubeconfig), *arguments, stdin=stdin, seconds=150)

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        own = ["--kubelet-preferred-address-types=InternalIP"] if name == "apiserver" else []  # no DNS knows the node
        return super()._spawn(name, self.node.command(*command, *own))

    def _ready(self) -> bool:
        try:
            return "ok" in self.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
        except AssertionError:
            return False
