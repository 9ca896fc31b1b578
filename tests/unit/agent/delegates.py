# SPDX-License-Identifier: Apache-2.0
"""Delegates in the agent, in memory: one that is loaded into it, and what carries delegates out for the verbs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metacni.agent.resident import Outside
from metacni.agent.runner import Made, Runner
from metacni.cni import errors
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, PluginType
from metacni.core.owner import Visible
from metacni.exec.frames import Execution
from tests.unit.agent.fakes import Bench, FakeRunner, attached, verb_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One operation that a delegate in the agent was asked for."""

    variables: Mapping[str, str]
    stdin: bytes
    pod: int | None
    edges: Outside


@dataclass
class FakeDelegate:
    """A delegate in the agent that obeys, unless `replies` says otherwise for a verb; `reason` is why it declines."""

    name: str
    reason: str | CniError | None = None
    replies: dict[str, Exception | Callable[[Served], bytes]] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    seen: list[Mapping[str, Json]] = field(default_factory=list)

    def declines(self, body: Mapping[str, Json], _: Visible) -> str | None:
        """As the test says."""
        self.seen.append(body)
        if isinstance(self.reason, CniError):
            raise self.reason
        return self.reason

    def serve(self, variables: Mapping[str, str], stdin: bytes, *, pod: int | None, edges: Outside) -> bytes:
        """Play what the test says."""
        one = Served(variables=variables, stdin=stdin, pod=pod, edges=edges)
        self.served.append(one)
        verb = variables["CNI_COMMAND"]
        reply = self.replies.get(verb)
        if isinstance(reply, Exception):
            raise reply
        if reply is not None:
            return reply(one)
        call = Execution(type=PluginType(self.name), path=(), environment=variables, stdin=stdin)
        return attached(call).stdout if verb == "ADD" else b""

    @property
    def calls(self) -> list[tuple[str, str]]:
        """(verb, interface) of all that it served."""
        return [(one.variables["CNI_COMMAND"], one.variables["CNI_IFNAME"]) for one in self.served]


@dataclass
class FakeResident:
    """Carries delegates out by the script of the programs, so that both stand in one order.

    `makes` is the links that each interface's ADD makes, `deletions` what was deleted together, each with how many
    plugins had run by then; `fault` is how that fails.
    """

    plugins: FakeRunner
    makes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    fault: CniError | None = None
    pods: list[int | None] = field(default_factory=list)
    deletions: list[tuple[int, tuple[int, ...], int]] = field(default_factory=list)

    def run(self, execution: Execution, *, pod: int | None, runner: Runner, timeout: float, made: Made) -> bytes:
        """Play the next reply of the script."""
        assert runner is self.plugins
        self.pods.append(pod)
        done = self.plugins.run(execution, timeout=timeout)
        if done.status != 0:
            raise errors.from_output(done.status, done.stdout, done.stderr)
        if verb_of(execution) == "ADD":
            for index in self.makes.get(execution.environment["CNI_IFNAME"], ()):
                made(index)
        return done.stdout

    def delete_links(self, pod: int, indexes: Sequence[int]) -> None:
        """Remember it."""
        self.deletions.append((pod, tuple(indexes), len(self.plugins.executions)))
        if self.fault is not None:
            raise self.fault


def forget_owners(bench: Bench, container: str = "c1") -> None:
    """Make its record one of a version that knew no owners and no links."""
    record = bench.node.journal.open(ContainerId(container))
    assert record is not None
    plan, answer, identity = json.loads(record.plan), json.loads(record.answer or b""), record.sandbox
    for attachment in plan["attachments"]:
        del attachment["owners"]
    del answer["links"]
    record.remove()
    old = bench.node.journal.begin(ContainerId(container), json.dumps(plan).encode(), sandbox=identity, durable=False)
    old.finish(json.dumps(answer).encode())
