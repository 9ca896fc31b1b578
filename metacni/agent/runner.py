# SPDX-License-Identifier: Apache-2.0
"""What the verbs need of whoever runs plugins, and one plugin call spelled out.

A program is run by the shim at the other end of the request or, where that is gone, by the agent's executor (decision
2); a delegate of ours runs in the agent (decision 4). The verbs must not know more than these Protocols.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.names import NetnsPath, PluginType
from metacni.cni.versions import Verb
from metacni.core import plan as plans
from metacni.core.owner import Owner
from metacni.exec import outcome
from metacni.exec.frames import Execution
from metacni.exec.outcome import Output

log = logging.getLogger(__name__)

STDERR_SHOWN = 2000
"""Bytes of a plugin's stderr that a log line holds."""

LONGEST = {Verb.ADD: 60.0, Verb.CHECK: 60.0, Verb.DEL: 25.0, Verb.GC: 25.0, Verb.STATUS: 2.0}
"""Seconds that one plugin gets (decision 1); STATUS is asked every 2-5 s with a lock held, so it is short (G16)."""


Made = Callable[[int], None]
"""Told the index of each link that a delegate makes in the pod and that may go with its group (decision 6)."""


class Refused(CniError):  # noqa: N818  what the plugin did
    """A plugin ran to its end and said no; it was neither killed nor did it die."""


class Runner(Protocol):
    """Finds and runs foreign delegates, one at a time."""

    def find(self, types: Sequence[PluginType], path: Sequence[str]) -> frozenset[PluginType]:
        """Those of `types` that are not on the search path."""

    def run(self, execution: Execution, *, timeout: float) -> Output:
        """Run one plugin to its end; a CniError (code 11) when `timeout` seconds were not enough."""


class Resident(Protocol):
    """Carries plugins out in the agent."""

    def run(self, execution: Execution, *, pod: int | None, runner: Runner, timeout: float, made: Made) -> bytes:
        """One plugin, with the pod's open namespace, and a runner for programs that it needs itself; its result."""

    def delete_links(self, pod: int, indexes: Sequence[int]) -> None:
        """Delete links of that pod that plugins made, together where that is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Where the plugins of one request work.

    `netns` is "" once the namespace is gone: a path that has been given to another namespace meanwhile must not be
    handed on. `pod` is that namespace, open, for delegates in the agent; None when it is gone.
    """

    plan: plans.Plan
    netns: NetnsPath
    pod: int | None
    runner: Runner
    resident: Resident
    deadline: float  # time.monotonic() by which the whole request must be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network on its own, without a sandbox: what STATUS and GC are about (B7)."""

    config: NetworkList
    owners: tuple[Owner, ...]
    search_path: tuple[str, ...]
    runner: Runner
    resident: Resident
    deadline: float


def where(attachment: plans.Attachment, verb: Verb) -> str:
    """What an error of one attachment starts with."""
    return f"network {attachment.network!r} ({attachment.ifname}), {verb}"


def nobody(_: int) -> None:
    """Not keep a link's index: the attachment will be undone, or was made before."""


def run(
    sandbox: Sandbox, verb: Verb, attachment: plans.Attachment, index: int, stdin: bytes, *, made: Made = nobody
) -> bytes:  # fmt: skip
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
    with _timed(verb, where(attachment, verb), sandbox.deadline) as left:
        if attachment.owner(index).resident:
            return _in_agent(sandbox.resident, execution, sandbox.pod, sandbox.runner, timeout=left, made=made)
        return _as_program(sandbox.runner, verb, execution, left)


def run_on_network(network: Network, verb: Verb, index: int, stdin: bytes) -> None:
    """Run plugin `index` of a network for STATUS or GC: no container, no interface, no arguments (B7).

    Raises:
        CniError: as for `run`.
    """
    environment = {"CNI_CONTAINERID": "", "CNI_NETNS": "", "CNI_IFNAME": "", "CNI_ARGS": ""}
    plugin = network.config.plugins[index].type
    execution = _execution(verb, plugin, network.search_path, environment, stdin)
    with _timed(verb, f"network {network.config.name!r}, {verb}", network.deadline) as left:
        if index < len(network.owners) and network.owners[index].resident:
            _in_agent(network.resident, execution, None, network.runner, timeout=left, made=nobody)
        else:
            _as_program(network.runner, verb, execution, left)


def _execution(
    verb: Verb, plugin: PluginType, path: tuple[str, ...], environment: dict[str, str], stdin: bytes
) -> Execution:
    told = {**environment, "CNI_COMMAND": str(verb), "CNI_PATH": ":".join(path)}  # A5: never without CNI_PATH
    return Execution(type=plugin, path=path, environment=told, stdin=stdin)


@contextmanager
def _timed(verb: Verb, origin: str, deadline: float) -> Iterator[float]:
    """The seconds that are left for the body; its errors say where they come from."""
    left = min(LONGEST[verb], deadline - time.monotonic())
    if left <= 0:
        raise CniError(Code.TRY_AGAIN, f"{origin}: not started: the request's time is up")
    try:
        yield left
    except CniError as fault:
        raise fault.within(origin) from fault


def _in_agent(
    resident: Resident, execution: Execution, pod: int | None, runner: Runner, *, timeout: float, made: Made
) -> bytes:  # fmt: skip
    try:
        return resident.run(execution, pod=pod, runner=runner, timeout=timeout, made=made)
    except CniError as fault:
        raise Refused(fault.code, f"plugin {execution.type!r}: {fault.msg}", fault.details) from fault


def _as_program(runner: Runner, verb: Verb, execution: Execution, timeout: float) -> bytes:
    output = runner.run(execution, timeout=timeout)
    if output.stderr:  # B9
        log.debug("plugin %s wrote on stderr", execution.type, extra={"stderr": output.stderr[-STDERR_SHOWN:]})
    return _judged(output, verb, execution.type)


def _judged(output: Output, verb: Verb, plugin: PluginType) -> bytes:
    try:
        return outcome.result_of(output, verb, plugin)
    except CniError as fault:
        if output.status > 0:
            raise Refused(fault.code, fault.msg, fault.details) from fault
        raise
