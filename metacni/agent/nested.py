# SPDX-License-Identifier: Apache-2.0
"""A call under the name of a delegate of ours, `metacni-bridge` say, by a foreign plugin or by a runtime directly.

It takes part in no sandbox of the journal, and takes no lock: whoever calls may be a plugin that runs inside our own
ADD of the same sandbox (decision 14).
"""

import time
from collections.abc import Mapping

from metacni.agent.node import Node, Request
from metacni.agent.runner import LONGEST, nobody
from metacni.cni.names import PluginType
from metacni.cni.versions import Verb
from metacni.exec.frames import Execution
from metacni.netns import sandbox


def nested(kind: PluginType, variables: Mapping[str, str], node: Node, request: Request) -> bytes:
    """Have the delegate carry out what was asked; what it would print as a program.

    Raises:
        CniError: the delegate's own.
    """
    verb = request.environment.verb
    execution = Execution(type=kind, path=request.environment.path, environment=variables, stdin=request.stdin)
    left = min(LONGEST.get(verb, LONGEST[Verb.STATUS]), request.deadline - time.monotonic())
    return node.residents.run(
        execution, pod=_pod(request, verb), runner=request.runner, timeout=left, made=nobody
    )  # fmt: skip


def _pod(request: Request, verb: Verb) -> int | None:
    """Its namespace; for DEL none, where only the file of one that was unmounted is left (E15)."""
    if verb is Verb.DEL and request.netns is not None and not sandbox.is_network_namespace(request.netns):
        return None
    return request.netns
