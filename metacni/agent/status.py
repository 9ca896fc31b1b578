# SPDX-License-Identifier: Apache-2.0
"""STATUS: could an ADD be served now? Asked often, with a lock of the runtime held, so it never waits (G16)."""

from metacni.agent.node import Node, Request, on_its_own
from metacni.agent.runner import run_on_network
from metacni.cni import versions
from metacni.cni.errors import CniError, Code
from metacni.cni.versions import Verb
from metacni.core import nodeconf
from metacni.core import request as stdin
from metacni.core.nodeconf import NodeConfig


def status(node: Node, request: Request) -> bytes:
    """Answer for ourselves, then ask the plugins of the default network, as far as their versions know STATUS (B21).

    Raises:
        CniError: code 50, we cannot serve an ADD; a delegate's own error otherwise, its code kept.
    """
    config = nodeconf.parse(request.stdin)
    _ourselves(node)
    _delegates(node, config, request)
    return b""


def _ourselves(node: Node) -> None:
    health = node.source.health()
    if not health.synced:
        raise CniError(
            Code.NOT_AVAILABLE,
            f"cannot attach networks yet: no definitions were read: {health.detail or 'the first list is under way'}",
            "the agent needs one answer of the API server after its start",
        )
    fault = node.journal.writable()
    if fault:
        raise CniError(Code.NOT_AVAILABLE, f"cannot attach networks: the journal cannot be written: {fault}")


def _delegates(node: Node, config: NodeConfig, request: Request) -> None:
    network = config.delegates[0]
    if not versions.has(Verb.STATUS, network.version):
        return
    asked = on_its_own(node, network, node.residents.owners(network), config, request)
    for index in range(len(network.plugins)):
        run_on_network(asked, Verb.STATUS, index, stdin.status_stdin(network, index))
