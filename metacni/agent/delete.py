# SPDX-License-Identifier: Apache-2.0
"""DEL: take back what the journal says, however little is left of it; all failures as one error.

It succeeds for what is already gone and reports what really failed; the record stays until everything went (decision
16). What cannot be read of the journal never holds a pod back for ever (B18).
"""

import logging
from dataclasses import replace

from metacni.agent import attach, resolve
from metacni.agent.attach import Known
from metacni.agent.node import Node, Request, deadline
from metacni.agent.records import is_its_namespace, known, recorded_plan
from metacni.agent.runner import Sandbox
from metacni.cni import errors
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, NetnsPath
from metacni.cni.versions import Verb
from metacni.core import nodeconf, plan
from metacni.core.plan import Plan
from metacni.exec.channel import ShimGone
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record

log = logging.getLogger(__name__)


def delete(node: Node, request: Request) -> bytes:
    """Detach every network of the sandbox.

    Raises:
        CniError: what could not be removed; the journal keeps it, and a repeated DEL tries again.
    """
    container_id = request.environment.container_id
    with node.locks.sandbox(container_id, request.deadline):
        delete_held(node, request)
    return b""


def delete_held(node: Node, request: Request) -> None:
    """DEL for whoever holds the sandbox's lock already."""
    container_id = request.environment.container_id
    try:
        _delete(node, request, container_id)
    except ShimGone:  # begin again without it: DEL can be repeated, and the runtime's next one may be far away
        with node.executor.runner() as spare:
            _delete(node, replace(request, runner=spare, deadline=deadline(Verb.DEL)), container_id)
        log.info("a DEL was finished whose shim was killed", extra={"sandbox": container_id})
    node.pending.done(container_id)


def _delete(node: Node, request: Request, container_id: ContainerId) -> None:
    try:
        record = node.journal.open(container_id)
        if record is None:
            log.info("nothing to delete", extra={"sandbox": container_id})
        else:
            _delete_recorded(node, request, record)
    except CorruptRecord as cause:
        log.warning("the journal is damaged; deleting by today's definitions", extra={"cause": str(cause)})
        planned = node.residents.owned(_todays_plan(node, request), taking_away=True)
        detach(node, _sandbox(node, request, planned, _path(node, request)), Known())


def detach(node: Node, sandbox: Sandbox, known: Known) -> None:
    """DEL all attachments of a sandbox and remove its record, readable or not.

    Raises:
        CniError: what could not be removed; the record is still there.
    """
    failures = attach.delete(sandbox, known)
    if failures:
        raise errors.combined(failures)
    node.publisher.forget(sandbox.plan.container_id)
    node.journal.remove(sandbox.plan.container_id)


def _delete_recorded(node: Node, request: Request, record: Record) -> None:
    planned = recorded_plan(record)
    detach(node, _sandbox(node, request, planned, _netns(node, request, record)), known(record, planned))


def _sandbox(node: Node, request: Request, planned: Plan, netns: NetnsPath) -> Sandbox:
    return Sandbox(
        plan=planned,
        netns=netns,
        pod=request.netns if netns else None,
        runner=request.runner,
        resident=node.residents,
        deadline=request.deadline,
    )


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


def _netns(node: Node, request: Request, record: Record) -> NetnsPath:
    """The path, if it still leads to the namespace of the ADD; else "": another sandbox may have it by now."""
    try:
        return request.environment.netns if is_its_namespace(record, request.netns) else NetnsPath("")
    except CorruptRecord:
        return _path(node, request)


def _path(node: Node, request: Request) -> NetnsPath:
    """The path, unless it leads nowhere, or to what is no pod's namespace (any more: E15)."""
    if request.netns is None:
        return NetnsPath("")
    try:
        node.require_foreign(request.netns)
    except CniError as cause:
        log.info("deleting without the namespace", extra={"cause": str(cause)})
        return NetnsPath("")
    return request.environment.netns
