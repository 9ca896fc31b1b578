# SPDX-License-Identifier: Apache-2.0
"""What is attached on this node, by whom, and what waits: read from the journal beside a running agent.

Only reads. What cannot be read is a line, too: somebody will look here because of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metacni.agent.records import known, recorded_plan
from metacni.cni import convert, keys
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId
from metacni.core.plan import Attachment, Plan
from metacni.exec.pending import Pending
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Journal, Record
from metacni.journal.sandbox import gone


class State(StrEnum):
    """How it stands with a sandbox."""

    ATTACHED = "attached"
    UNFINISHED = "unfinished"
    """Its ADD runs, or failed and could not be undone: then it waits for the runtime's DEL."""
    GONE = "gone"
    """Its namespace has gone without a DEL; it waits for the runtime, for GC, or for the agent's next look."""
    DEL_WAITS = "DEL waits"
    """A DEL is under way, or came while no agent lived."""
    DAMAGED = "damaged"
    """Its record cannot be read, or not all of it; DEL does with what is left, and with today's definitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One plugin of an attachment: its type, by whom it was carried out, and why not by us."""

    type: str
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One attachment."""

    ifname: str
    network: str
    addresses: tuple[str, ...]
    plugins: tuple[Plugin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """One record of the journal, or a DEL that waits without one."""

    container_id: ContainerId
    pod: str
    state: State
    interfaces: tuple[Interface, ...] = ()
    problem: str = ""


def take(journal: Journal, pending: Pending) -> tuple[Sandbox, ...]:
    """Everything the node has, by pod; what nobody can name comes last."""
    waiting = {name for name, _ in pending.calls()}
    found = [one for name in journal.sandboxes() if (one := _sandbox(journal, name, waiting)) is not None]
    strangers = waiting - {one.container_id for one in found}
    found += [Sandbox(container_id=name, pod="", state=State.DEL_WAITS) for name in strangers]
    return tuple(sorted(found, key=lambda one: (one.pod == "", one.pod, one.container_id)))


def _sandbox(journal: Journal, name: ContainerId, waiting: set[ContainerId]) -> Sandbox | None:
    try:
        record = journal.open(name)
        if record is None:  # a DEL was quicker than we
            return None
        planned = recorded_plan(record)
        state, problem = (State.DEL_WAITS, "") if name in waiting else _state(record)
        interfaces = tuple(_interfaces(planned, known(record, planned).results))
    except (CorruptRecord, CniError) as cause:
        return Sandbox(container_id=name, pod="", state=State.DAMAGED, problem=str(cause))
    except FileNotFoundError:
        return None
    pod = f"{planned.pod.namespace}/{planned.pod.name}" if planned.pod else ""
    return Sandbox(container_id=name, pod=pod, state=state, interfaces=interfaces, problem=problem)


def _state(record: Record) -> tuple[State, str]:
    """And the problem, where a part of the record is damaged that DEL can do without."""
    if not record.finished:
        return State.UNFINISHED, ""
    try:
        return State.GONE if gone(record.sandbox) else State.ATTACHED, ""
    except CorruptRecord as cause:
        return State.DAMAGED, str(cause)
    except OSError:  # its path cannot be looked at, which is no sign of anything
        return State.ATTACHED, ""


def _interfaces(planned: Plan, results: Mapping[int, Json]) -> Iterator[Interface]:
    for number, one in enumerate(planned.attachments):
        yield Interface(
            ifname=one.ifname,
            network=one.network,
            addresses=tuple(_addresses(results.get(number), one.config.version)),
            plugins=tuple(_plugins(one)),
        )


def _addresses(result: Json, version: str) -> Sequence[str]:
    if not isinstance(result, dict):
        return ()
    return [str(each.address) for each in convert.parse(result, keys.text(result, "cniVersion", version)).ips]


def _plugins(one: Attachment) -> Iterator[Plugin]:
    for index, plugin in enumerate(one.config.plugins):
        owner = one.owner(index)
        yield Plugin(type=plugin.type, by="agent" if owner.resident else "program", why=owner.why)
