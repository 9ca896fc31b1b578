# SPDX-License-Identifier: Apache-2.0
"""What a new agent takes over from the one before it: statuses that were not written, and DELs that nobody answered."""

import logging
from functools import partial

from metacni.agent.node import Node, pod_ref
from metacni.agent.records import recorded_plan
from metacni.cni.errors import CniError
from metacni.exec.pending import Pending
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record

log = logging.getLogger(__name__)


def recover(node: Node, pending: Pending) -> None:
    """Send again what was not written, and settle the recorded DELs as far as that needs no plugin.

    A recorded DEL whose sandbox is in the journal needs foreign plugins, and those need a shim: it waits for the
    runtime's next call, and the log says so.
    """
    for record, unsent in node.journal.unsent_all():
        _publish_again(node, record, unsent)
    pending.sweep()
    known = frozenset(node.journal.sandboxes())  # readable or not: a DEL is due for either
    for container_id, _ in list(pending.calls()):
        if container_id not in known:
            pending.done(container_id)
        else:
            log.warning(
                "a DEL came while no agent lived; it waits for the runtime's next call", extra={"sandbox": container_id}
            )


def _publish_again(node: Node, record: Record, unsent: bytes) -> None:
    try:
        planned = recorded_plan(record)
    except (CorruptRecord, CniError) as cause:
        log.warning("the journal cannot be read", extra={"sandbox": record.container_id, "cause": str(cause)})
        return
    if planned.pod is not None:
        node.publisher.status(
            pod_ref(planned.pod), unsent.decode(), partial(record.published, unsent), sandbox=record.container_id
        )
