# SPDX-License-Identifier: Apache-2.0
"""What the verbs work with: the edges, handed in by whoever starts the agent, and one request."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from metacni.agent.locks import Locks
from metacni.agent.records import standing
from metacni.agent.resident import Residents
from metacni.agent.runner import Network, Runner, Sandbox
from metacni.agent.settings import Settings
from metacni.cni.config import NetworkList
from metacni.cni.environment import Environment
from metacni.cni.names import ContainerId
from metacni.cni.versions import Verb
from metacni.core import nodeconf
from metacni.core.nodeconf import NodeConfig
from metacni.core.owner import Owner
from metacni.core.plan import Plan, Pod
from metacni.core.routes import RoutePlan
from metacni.journal.journal import Journal, Record
from metacni.kube.source import PodRef, Publisher, Source
from metacni.netns import sandbox as namespaces


class Routes(Protocol):
    """Changes the default routes inside a pod."""

    def __call__(self, netns: int, routes: RoutePlan) -> None:
        """Carry the plan out in the namespace behind the file descriptor, and see that it is in force."""


class RequireForeign(Protocol):
    """Makes sure that a descriptor is a pod's network namespace."""

    def __call__(self, netns_fd: int, /) -> None:
        """Refuse one that is no network namespace, or the node's own (CniError, code 8)."""


class Pending(Protocol):
    """The DELs that the shim recorded before it asked (decision 1)."""

    def done(self, container_id: ContainerId) -> None:
        """Take the record of this sandbox away, if there is one."""


class Executor(Protocol):
    """Runs plugins when no call of the runtime's is there to do it (decision 2)."""

    def runner(self) -> AbstractContextManager[Runner]:
        """A runner for the block; exec.executor.Unavailable (a CniError, code 11) when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The edges of one agent."""

    settings: Settings
    journal: Journal
    source: Source
    publisher: Publisher
    routes: Routes
    pending: Pending
    executor: Executor
    residents: Residents
    require_foreign: RequireForeign = namespaces.require_foreign
    locks: Locks = field(default_factory=Locks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the runtime, its environment parsed.

    `netns` is the open namespace that came with the call, None when its path could not be opened; it belongs to the
    connection and is closed there. `deadline` is time.monotonic() by which the answer must be out.
    """

    environment: Environment
    stdin: bytes
    parent: str
    netns: int | None
    runner: Runner
    deadline: float


BUDGET = {Verb.ADD: 85.0, Verb.DEL: 45.0, Verb.CHECK: 85.0, Verb.GC: 85.0, Verb.STATUS: 4.0, Verb.VERSION: 4.0}
"""Seconds for a whole request: a little less than the shim waits, so that the answer is ours and says why."""


def deadline(verb: Verb) -> float:
    """The moment by which a request that arrives now must be answered."""
    return time.monotonic() + BUDGET[verb]


def on_its_own(
    node: Node, network: NetworkList, owners: tuple[Owner, ...], config: NodeConfig, request: Request
) -> Network:
    """A network that STATUS or GC is about, sought where this node's plugins are."""
    return Network(
        config=network,
        owners=owners,
        search_path=nodeconf.search_path(config, request.environment.path),
        runner=request.runner,
        resident=node.residents,
        deadline=request.deadline,
    )


def pod_ref(pod: Pod) -> PodRef:
    """The pod as the publisher knows it."""
    return PodRef(namespace=pod.namespace, name=pod.name, uid=pod.uid, static=pod.static)


@contextmanager
def without_shim(node: Node, sandbox: Sandbox, record: Record) -> Iterator[Sandbox]:
    """The same sandbox with plugins run by the executor, for work that nobody waits for.

    Raises:
        CniError: there is no executor.
    """
    with node.executor.runner() as spare, standing(record) as (netns, pod):
        yield replace(sandbox, runner=spare, netns=netns, pod=pod, deadline=deadline(Verb.DEL))


@contextmanager
def recorded_sandbox(node: Node, record: Record, planned: Plan, runner: Runner, *, until: float) -> Iterator[Sandbox]:
    """A sandbox that no call names, as its record has it."""
    with standing(record) as (netns, pod):
        yield Sandbox(plan=planned, netns=netns, pod=pod, runner=runner, resident=node.residents, deadline=until)
