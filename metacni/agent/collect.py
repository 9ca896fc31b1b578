# SPDX-License-Identifier: Apache-2.0
"""GC: detach the sandboxes that the runtime gave up, and tell the plugins exactly what is still valid.

The runtime names only its own network's attachments (containerID, eth0). Handed on as it is, that list would declare
every live net1 stale, so each network gets its own: all that the journal holds for it, over every definition that
shares its CNI name (B46, B47), since those share their lease folder.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from metacni.agent.delete import detach
from metacni.agent.node import Node, Request, deadline, on_its_own, recorded_sandbox
from metacni.agent.records import known, recorded_plan
from metacni.agent.runner import run_on_network
from metacni.cni import errors, versions
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.versions import Verb
from metacni.core import nodeconf
from metacni.core import request as stdin
from metacni.core.nodeconf import NodeConfig
from metacni.core.owner import Owner
from metacni.core.plan import Plan
from metacni.exec.channel import ShimGone
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record

log = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""GC waits no longer for the operations that run: new ones queue behind it meanwhile (G18)."""

_Told = tuple[NetworkList, tuple[Owner, ...]]

_UNREADABLE = "no plugin is told what is valid, for what this sandbox holds would be freed; DEL it, then collect again"


def collect(node: Node, request: Request) -> bytes:
    """Detach what is not valid any more, then send each plugin GC.

    Raises:
        CniError: everything that failed, as one; the rest was done all the same (A31).
    """
    config = nodeconf.parse(request.stdin)
    with node.locks.everything(min(request.deadline, time.monotonic() + WAIT_SECONDS)):
        try:
            _collect(node, request, config)
        except ShimGone:  # as for DEL: what is stale must go, whether or not anybody waits for the answer
            with node.executor.runner() as spare:
                _collect(node, replace(request, runner=spare, deadline=deadline(Verb.GC)), config)
            log.info("a GC was finished whose shim was killed")
    return b""


def _collect(node: Node, request: Request, config: NodeConfig) -> None:
    valid = nodeconf.valid_attachments(config.raw)
    live, failures = _detach_stale(node, request, config, valid)
    if live is not None:
        failures += _tell_plugins(node, request, config, live, valid)
    if failures:
        raise errors.combined(failures)


def _detach_stale(
    node: Node, request: Request, config: NodeConfig, valid: frozenset[tuple[str, str]]
) -> tuple[list[Plan] | None, list[CniError]]:
    """The plans that live on, and what went wrong; None if one cannot be read: nobody knows what it holds then."""
    live: list[Plan] = []
    failures: list[CniError] = []
    readable = True
    for container_id in node.journal.sandboxes():
        try:
            record = node.journal.open(container_id)
            planned = recorded_plan(record) if record is not None else None
        except (CorruptRecord, CniError) as cause:
            readable = False
            failures.append(CniError(Code.IO, f"sandbox {container_id!r}: {cause}", _UNREADABLE))
            continue
        if record is None or planned is None:
            continue
        if planned.node_network != config.name or (container_id, planned.attachments[0].ifname) in valid:
            live.append(planned)
        else:
            failures += _detach(node, request, record, planned)
    return live if readable else None, failures


def _detach(node: Node, request: Request, record: Record, planned: Plan) -> list[CniError]:
    try:
        with recorded_sandbox(node, record, planned, request.runner, until=request.deadline) as sandbox:
            detach(node, sandbox, known(record, planned))
    except CniError as fault:
        return [fault.within(f"sandbox {planned.container_id!r}")]
    except (CorruptRecord, OSError) as cause:
        return [CniError(Code.IO, f"sandbox {planned.container_id!r}: {cause}")]
    return []


def _tell_plugins(
    node: Node, request: Request, config: NodeConfig, live: list[Plan], named: frozenset[tuple[str, str]]
) -> list[CniError]:
    failures: list[CniError] = []
    for network, owners in _networks(_told(node, config, live, named)):
        if network.disable_gc or not versions.has(Verb.GC, network.version):
            continue
        valid = _valid(network, live) | (named if network.name == config.delegates[0].name else frozenset())
        told = on_its_own(node, network, owners, config, request)
        for index in range(len(network.plugins)):
            try:
                run_on_network(told, Verb.GC, index, stdin.gc_stdin(network, index, valid))
            except CniError as fault:
                failures.append(fault)
    return failures


def _told(node: Node, config: NodeConfig, live: list[Plan], named: frozenset[tuple[str, str]]) -> Iterator[_Told]:
    """Whose plugins are told, and who carries them out: of what is attached whoever did so, else whoever would.

    A sandbox that the runtime names and no record knows was attached before us. What it has beside the default network
    is not known, so only that network's plugins can be told what is valid.
    """
    default = config.delegates[0]
    yield default, node.residents.owners(default)
    strangers = {container for container, _ in named} - {planned.container_id for planned in live}
    if strangers:
        log.warning(
            "only the default network is collected: sandboxes without a record", extra={"count": len(strangers)}
        )
        return
    yield from ((further, node.residents.owners(further)) for further in config.delegates[1:])
    for planned in live:
        yield from ((one.config, one.owners) for one in planned.attachments)


def _networks(all_of_them: Iterable[_Told]) -> list[_Told]:
    """Each distinct configuration once for each that owns some of it, in the order seen."""
    found: list[_Told] = []
    for network, owners in all_of_them:
        told = network, _carriers(network, owners)
        if told not in found:
            found.append(told)
    return found


def _carriers(network: NetworkList, owners: tuple[Owner, ...]) -> tuple[Owner, ...]:
    """Who is told, whatever the reason for it was; what an old record does not say is a program's."""
    return tuple(
        Owner(resident=index < len(owners) and owners[index].resident) for index in range(len(network.plugins))
    )


def _valid(network: NetworkList, live: list[Plan]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (planned.container_id, one.ifname)
        for planned in live
        for one in planned.attachments
        if one.config.name == network.name
    )
