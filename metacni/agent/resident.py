# SPDX-License-Identifier: Apache-2.0
"""Our own delegates in the agent: which code serves a plugin, what a delegate gets of the outside world, one operation.

Delegates are handed in by whoever starts the agent: nothing here may import one, nor know what one does.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from metacni.agent.runner import Made, Runner
from metacni.cni import config, errors
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.names import PluginType
from metacni.core import owner
from metacni.core.owner import Choice, Declining, Owner, Visible
from metacni.core.plan import Attachment, Plan
from metacni.exec.frames import Execution
from metacni.netns import groups, sandbox
from metacni.netns.netlink import Netlink, own_socket
from metacni.netns.opener import Opener

log = logging.getLogger(__name__)

MOST_REASONS = 1000
"""How many different reasons are remembered as logged: users write configurations, and the agent lives long."""


class Delegate(Declining, Protocol):
    """One of our own plugins, as an entry point of the group `metacni.delegates` offers it."""

    @property
    def name(self) -> str:
        """Its type, without `metacni-`."""

    def serve(self, variables: Mapping[str, str], stdin: bytes, *, pod: int | None, edges: "Outside") -> bytes:
        """Carry out one operation; what a program would print. Raises CniError."""


def own_links() -> AbstractContextManager[Netlink]:
    """A handle to the node's links for the calling thread, which never leaves the node's namespace."""
    return Netlink(own_socket())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The outside world of one operation: what a delegate may use."""

    opener: Opener
    ipam: "ForeignIpam"
    visible: Visible
    sysctls: Path
    made: Made
    host: Callable[[], AbstractContextManager[Netlink]] = own_links
    require_pod: Callable[[int], None] = sandbox.require_foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignIpam:
    """IPAM programs for a delegate of ours: the shim runs them, like every program."""

    runner: Runner
    path: tuple[str, ...]
    until: float

    def run(self, kind: PluginType, environment: Mapping[str, str], stdin: bytes) -> bytes:
        """Run one to its end; what it printed.

        Raises:
            CniError: its own; code 11, its time is up.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise CniError(Code.TRY_AGAIN, "not started: the request's time is up")
        execution = Execution(type=kind, path=self.path, environment=environment, stdin=stdin)
        output = self.runner.run(execution, timeout=left)
        if output.status != 0:
            raise errors.from_output(output.status, output.stdout, output.stderr)
        return output.stdout


class Residents:
    """The delegates of this agent. Threads may share it."""

    def __init__(
        self,
        delegates: Iterable[Delegate],
        *,
        opener: Opener,
        types: frozenset[str] | None = None,
        visible: Visible,
        sysctls: Path,
    ) -> None:
        """Say which there are, and which types they may serve (None: `resident: auto`)."""
        self._delegates = {one.name: one for one in delegates}
        self._choice = Choice(delegates=self._delegates, types=types, visible=visible)
        self._opener = opener
        self._visible = visible
        self._sysctls = sysctls
        self._told: set[tuple[str, str]] = set()

    def owned(self, planned: Plan, *, taking_away: bool = False) -> Plan:
        """The plan with the owner of each plugin in it.

        Raises:
            CniError: code 2, a plugin is to be served in the agent and cannot; never for taking away, which a delegate
                does of any configuration.
        """
        return replace(
            planned, attachments=tuple(self._owned(one, taking_away=taking_away) for one in planned.attachments)
        )

    def owners(self, network: NetworkList) -> tuple[Owner, ...]:
        """Who would attach a network that no sandbox asks for (STATUS); what cannot be served is left to programs."""
        try:
            return self._owners(network, {})
        except CniError:
            return ()

    def programs(self, planned: Plan) -> tuple[PluginType, ...]:
        """Every program that the plan needs, each once and in order: what must be found before anything runs."""
        return tuple(dict.fromkeys(kind for one in planned.attachments for kind in self.programs_of(one)))

    def programs_of(self, attachment: Attachment) -> Iterable[PluginType]:
        """Those that one attachment needs: a foreign plugin finds its IPAM by itself, for a delegate we must."""
        for index, plugin in enumerate(attachment.config.plugins):
            if not attachment.owner(index).resident:
                yield plugin.type
            elif ipam := owner.foreign_ipam(plugin.raw, self._delegates):
                yield ipam

    def serves(self, program: str) -> bool:
        """Whether a call under this name of the shim's is for one of the delegates."""
        return program.startswith(owner.OWN) and owner.delegate_name(program, self._delegates) is not None

    def run(
        self, execution: Execution, *, pod: int | None, runner: Runner, timeout: float, made: Made
    ) -> bytes:  # fmt: skip
        """Carry out one operation of a plugin; what a program would have printed.

        Raises:
            CniError: the delegate's own; code 7, there is no such delegate (any more).
        """
        name = owner.delegate_name(execution.type, self._delegates)
        if name is None:
            hint = "one of the agent's made this attachment: is it installed, and in the setting `trustedDelegates`?"
            raise CniError(Code.CONFIG, "the agent has no such delegate", hint)
        ipam = ForeignIpam(runner=runner, path=execution.path, until=time.monotonic() + timeout)
        edges = Outside(
            opener=self._opener, ipam=ipam, visible=self._visible, sysctls=self._sysctls, made=made
        )  # fmt: skip
        return self._delegates[name].serve(execution.environment, execution.stdin, pod=pod, edges=edges)

    def delete_links(self, pod: int, indexes: Sequence[int]) -> None:
        """Delete links that delegates made in a pod, at once where that is safe (decision 6).

        Raises:
            CniError: they cannot all be deleted.
        """
        with Netlink(self._opener.socket(pod)) as links:
            groups.delete(links, indexes)

    def _owned(self, attachment: Attachment, *, taking_away: bool) -> Attachment:
        try:
            owners = self._owners(attachment.config, attachment.capability_args, taking_away=taking_away)
            return replace(attachment, owners=owners)
        except CniError as fault:
            raise fault.within(f"network {attachment.network!r} ({attachment.ifname})") from fault

    def _owners(
        self, network: NetworkList, capability_args: Mapping[str, Json], *, taking_away: bool = False
    ) -> tuple[Owner, ...]:
        bodies = (
            config.request(plugin, network, runtime_config=capability_args, prev_result=None)
            for plugin in network.plugins
        )
        found = tuple(
            self._owner(plugin.type, body, taking_away=taking_away)
            for plugin, body in zip(network.plugins, bodies, strict=True)
        )
        for plugin, one in zip(network.plugins, found, strict=True):
            if one.why:
                self._tell(plugin.type, network, one.why)
        return found

    def _owner(self, kind: PluginType, body: Mapping[str, Json], *, taking_away: bool) -> Owner:
        try:
            return self._choice.of(kind, body)
        except CniError:
            if taking_away:
                return owner.AGENT
            raise

    def _tell(self, kind: PluginType, network: NetworkList, why: str) -> None:
        """Log a reason once: somebody will wonder why this network is slower than that one."""
        if (network.name, why) not in self._told and len(self._told) < MOST_REASONS:
            self._told.add((network.name, why))
            log.info("plugin %r is left to a program: %s", kind, why, extra={"network": network.name})
