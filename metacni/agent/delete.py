# SPDX-License-Identifier: Apache-2.0
"""DEL: take back what the journal says, however little is left of it; all failures as one error.

It succeeds for what is already gone and reports what really failed; the record stays until everything went (decision
16). What cannot be read of the journal never holds a pod back for ever (B18).
"""

import logging
from collections.abc import Mapping

from metacni.agent import attach, resolve
from metacni.agent.node import Node, Request
from metacni.agent.runner import Sandbox
from metacni.cni import convert, jsontext, keys
from metacni.cni.errors import CniError, defuse
from metacni.cni.jsontext import Json
from metacni.cni.names import NetnsPath
from metacni.core import nodeconf, plan
from metacni.core.plan import Plan
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record
from metacni.netns import sandbox as namespaces

log = logging.getLogger(__name__)


def delete(node: Node, request: Request) -> bytes:
    """Detach every network of the sandbox.

    Raises:
        CniError: what could not be removed; the journal keeps it, and a repeated DEL tries again.
    """
    container_id = request.environment.container_id
    with node.locks.sandbox(container_id, request.deadline):
        try:
            record = node.journal.open(container_id)
            if record is None:
                log.info("nothing to delete", extra={"sandbox": container_id})
            else:
                _delete_recorded(node, request, record)
        except CorruptRecord as cause:
            log.warning("the journal is damaged; deleting by today's definitions", extra={"cause": str(cause)})
            detach(node, _sandbox(request, _todays_plan(node, request), _path(request)), {})
        node.pending.done(container_id)
    return b""


def detach(node: Node, sandbox: Sandbox, prev_results: Mapping[int, Json]) -> None:
    """DEL all attachments of a sandbox and remove its record, readable or not.

    Raises:
        CniError: what could not be removed; the record is still there.
    """
    failures = attach.delete(sandbox, prev_results)
    if failures:
        raise combined(failures)
    node.publisher.forget(sandbox.plan.container_id)
    node.journal.remove(sandbox.plan.container_id)


def combined(failures: list[CniError]) -> CniError:
    """Several failures as one line, with the first code; containerd must not take it for success (G15)."""
    texts = "; ".join(defuse(fault.msg) for fault in failures)
    return CniError(
        failures[0].code, texts, "; ".join(sorted({defuse(one.details) for one in failures if one.details}))
    )


def recorded_plan(record: Record) -> Plan:
    """The plan of the ADD (B24).

    Raises:
        CorruptRecord: its file is damaged.
        CniError: another version of metacni wrote it.
    """
    return plan.from_json(jsontext.loads_object(record.plan, "the journal's plan"))


def final_results(answer: bytes) -> list[Json]:
    """The final result of each attachment of a finished ADD, in order."""
    return keys.items(jsontext.loads_object(answer, "the journal's answer"), "results") or []


def last_results(record: Record, planned: Plan) -> dict[int, Json]:
    """The last known result of each attachment, by number: the finished ADD's, else that of its last step (B16).

    One that cannot be read, or that no plugin should have printed, is left out: its DEL goes without (B18).
    """
    try:
        if record.answer is not None:
            return dict(enumerate(final_results(record.answer)))
    except CorruptRecord as cause:
        log.warning("the journal's answer is damaged; deleting by its steps", extra={"cause": str(cause)})
    last: dict[int, Json] = {}
    for (number, _), printed in sorted(record.steps().items()):
        version = planned.attachments[number].config.version
        try:
            body = jsontext.loads_object(printed, "a step of the journal")
            last[number] = convert.render(convert.parse(body, version), version)
        except CniError as cause:
            log.warning("a result is of no use; deleting without it", extra={"cause": str(cause)})
    return last


def _delete_recorded(node: Node, request: Request, record: Record) -> None:
    planned = recorded_plan(record)
    detach(node, _sandbox(request, planned, _netns(request, record)), last_results(record, planned))


def _sandbox(request: Request, planned: Plan, netns: NetnsPath) -> Sandbox:
    return Sandbox(plan=planned, netns=netns, runner=request.runner, deadline=request.deadline)


def _todays_plan(node: Node, request: Request) -> Plan:
    """What an ADD would plan now: better than none. Where that is nothing any more, the node's own networks.

    Raises:
        UnavailableError: something cannot be read now; the runtime will ask again.
    """
    config = nodeconf.parse(request.stdin)
    try:
        made, _ = resolve.plan_for(node.source, node.settings, request.environment, config, request.parent)
    except resolve.UnavailableError:
        raise
    except CniError as cause:
        log.warning("the pod's networks cannot be told; deleting the node's own", extra={"cause": str(cause)})
        return plan.build(
            environment=request.environment, node=config, pod=None, selections=(), definitions=(), primary_only=True
        )
    return made


def _netns(request: Request, record: Record) -> NetnsPath:
    """The path, if it still leads to the namespace of the ADD; else "": another sandbox may have it by now."""
    try:
        known = record.sandbox
    except CorruptRecord:
        return _path(request)
    if request.netns is None or namespaces.identity(request.netns) != (known.device, known.inode):
        return NetnsPath("")
    return request.environment.netns


def _path(request: Request) -> NetnsPath:
    """The path, unless it leads nowhere."""
    return NetnsPath("") if request.netns is None else request.environment.netns
