# SPDX-License-Identifier: Apache-2.0
"""CHECK: every attached network, against what its ADD answered."""

from metacni.agent import attach
from metacni.agent.node import Node, Request
from metacni.agent.records import final_results, is_its_namespace, recorded_plan
from metacni.agent.runner import Sandbox
from metacni.cni.errors import CniError, Code
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record


def check(node: Node, request: Request) -> bytes:
    """Ask every delegate whether its attachment is as its ADD left it (A28).

    Raises:
        CniError: code 3, we do not know the sandbox; else the first delegate that objects.
    """
    container_id = request.environment.container_id
    with node.locks.sandbox(container_id, request.deadline):
        record = node.journal.open(container_id)
        if record is None:
            raise CniError(Code.UNKNOWN_CONTAINER, f"cannot check sandbox {container_id!r}: no ADD of it is on record")
        try:
            _check(node, request, record)
        except CorruptRecord as cause:
            raise CniError(Code.IO, f"cannot check sandbox {container_id!r}: {cause}") from cause
    return b""


def _check(node: Node, request: Request, record: Record) -> None:
    planned, answer = recorded_plan(record), record.answer
    if answer is None:
        raise CniError(Code.UNKNOWN_CONTAINER, f"cannot check sandbox {planned.container_id!r}: its ADD did not finish")
    if not is_its_namespace(record, request.netns):
        raise CniError(
            Code.ENVIRONMENT, f"cannot check sandbox {planned.container_id!r}: CNI_NETNS is not its namespace"
        )
    sandbox = Sandbox(
        plan=planned,
        netns=planned.netns,
        pod=request.netns,
        runner=request.runner,
        resident=node.residents,
        deadline=request.deadline,
    )
    attach.check(sandbox, final_results(answer), node.settings.check_tolerates)
