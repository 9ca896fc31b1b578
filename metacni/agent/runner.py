# SPDX-License-Identifier: Apache-2.0
"""What the verbs need of whoever runs plugins, and one plugin call spelled out.

That is the shim at the other end of the request or, where it is gone, the agent's executor (decision 2); the verbs must
not know more than this Protocol.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.names import NetnsPath, PluginType
from metacni.cni.versions import Verb
from metacni.core import plan as plans
from metacni.exec import outcome
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output

log = logging.getLogger(__name__)

STDERR_SHOWN = 2000
"""Bytes of a plugin's stderr that a log line holds."""

LONGEST = {Verb.ADD: 60.0, Verb.CHECK: 60.0, Verb.DEL: 25.0, Verb.GC: 25.0, Verb.STATUS: 2.0}
"""Seconds that one plugin gets (decision 1); STATUS is asked every 2-5 s with a lock held, so it is short (G16)."""


class Refused(CniError):  # noqa: N818  what the plugin did
    """A plugin ran to its end and said no; it was neither killed nor did it die."""


class Runner(Protocol):
    """Finds and runs foreign delegates, one at a time."""

    def find(self, types: Sequence[PluginType], path: Sequence[str]) -> frozenset[PluginType]:
        """Those of `types` that are not on the search path."""

    def run(self, execution: Execution, *, timeout: float) -> Output:
        """Run one plugin to its end; a CniError (code 11) when `timeout` seconds were not enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Where the plugins of one request work.

    `netns` is "" once the namespace is gone: a path that has been given to another namespace meanwhile must not be
    handed on.
    """

    plan: plans.Plan
    netns: NetnsPath
    runner: Runner
    deadline: float  # time.monotonic() by which the whole request must be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network on its own, without a sandbox: what STATUS and GC are about (B7)."""

    config: NetworkList
    search_path: tuple[str, ...]
    runner: Runner
    deadline: float


def where(attachment: plans.Attachment, verb: Verb) -> str:
    """What an error of one attachment starts with."""
    return f"network {attachment.network!r} ({attachment.ifname}), {verb}"


def run(sandbox: Sandbox, verb: Verb, attachment: plans.Attachment, index: int, stdin: bytes) -> bytes:
    """Run plugin `index` of an attachment; its result (b"" for verbs that print none).

    Raises:
        CniError: the plugin's own error, with network, interface and plugin in front (A22), or code 11 when time is up.
    """
    environment = {
        "CNI_CONTAINERID": sandbox.plan.container_id,
        "CNI_NETNS": sandbox.netns,
        "CNI_IFNAME": attachment.ifname,
        "CNI_ARGS": attachment.cni_args,
    }
    plugin = attachment.config.plugins[index].type
    execution = _execution(verb, plugin, sandbox.plan.search_path, environment, stdin)
    return _run(sandbox.runner, verb, execution, where(attachment, verb), sandbox.deadline)


def run_on_network(network: Network, verb: Verb, index: int, stdin: bytes) -> None:
    """Run plugin `index` of a network for STATUS or GC: no container, no interface, no arguments (B7).

    Raises:
        CniError: as for `run`.
    """
    environment = {"CNI_CONTAINERID": "", "CNI_NETNS": "", "CNI_IFNAME": "", "CNI_ARGS": ""}
    plugin = network.config.plugins[index].type
    execution = _execution(verb, plugin, network.search_path, environment, stdin)
    _run(network.runner, verb, execution, f"network {network.config.name!r}, {verb}", network.deadline)


def _execution(
    verb: Verb, plugin: PluginType, path: tuple[str, ...], environment: dict[str, str], stdin: bytes
) -> Execution:
    told = {**environment, "CNI_COMMAND": str(verb), "CNI_PATH": ":".join(path)}  # A5: never without CNI_PATH
    return Execution(type=plugin, path=path, environment=told, stdin=stdin)


def _run(runner: Runner, verb: Verb, execution: Execution, origin: str, deadline: float) -> bytes:
    left = min(LONGEST[verb], deadline - time.monotonic())
    if left <= 0:
        raise CniError(Code.TRY_AGAIN, f"{origin}: not started: the request's time is up")
    try:
        output = runner.run(execution, timeout=left)
        if output.stderr:  # B9
            log.debug("plugin %s wrote on stderr", execution.type, extra={"stderr": output.stderr[-STDERR_SHOWN:]})
        return _judged(output, verb, execution.type)
    except CniError as fault:
        raise fault.within(origin) from fault


def _judged(output: Output, verb: Verb, plugin: PluginType) -> bytes:
    try:
        return outcome.result_of(output, verb, plugin)
    except CniError as fault:
        if output.status > 0:
            raise Refused(fault.code, fault.msg, fault.details) from fault
        raise
