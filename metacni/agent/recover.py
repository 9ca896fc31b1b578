# SPDX-License-Identifier: Apache-2.0
"""What a new agent takes over from the one before it: statuses that were not written, and what is to be taken down.

`recover` looks, before the first call is served: later on, an unfinished record may be an ADD that runs. `finish` takes
down, beside the calls, one sandbox at a time under its lock. A finished record of a living sandbox is left alone. One
whose namespace has gone with no DEL, be it that the runtime has forgotten it, is found by a look from time to time.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial

from metacni.agent import delete
from metacni.agent.node import Node, Request, deadline, pod_ref, recorded_sandbox
from metacni.agent.records import known, recorded_plan
from metacni.agent.runner import Runner
from metacni.cni import environment
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId
from metacni.cni.versions import Verb
from metacni.exec.channel import ShimGone
from metacni.exec.executor import Unavailable
from metacni.exec.frames import Call
from metacni.exec.pending import Pending
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record
from metacni.journal.sandbox import gone

log = logging.getLogger(__name__)

Due = Mapping[ContainerId, Call | None]
"""What is to be taken down, with the recorded DEL where there is one that can be read."""


def recover(node: Node, pending: Pending) -> Due:
    """Send again what was not written, settle the recorded DELs that need no plugin; what is left for `finish`."""
    for record, unsent in node.journal.unsent_all():
        _publish_again(node, record, unsent)
    pending.sweep()
    known = node.journal.sandboxes()  # readable or not: a DEL is due for either
    asked: dict[ContainerId, Call | None] = {}
    for container_id, call in list(pending.calls()):
        if container_id in known:
            asked[container_id] = call
        else:
            pending.done(container_id)
    return asked | {name: None for name in known if name not in asked and _is_due(node, name)}


def tend(node: Node, pending: Pending, due: Due) -> None:
    """Take down what is due now, then for ever what is found to have gone; runs beside the calls."""
    finish(node, pending, due)
    while node.settings.executor == "auto":  # without one there is nobody to do it; `metacni ps` shows what waits
        time.sleep(node.settings.sweep_seconds)
        finish(node, pending, vanished(node))


def vanished(node: Node) -> Due:
    """The attached sandboxes whose namespace is proven to have gone."""
    return {name: None for name in node.journal.sandboxes() if _is_due(node, name, unfinished=False)}


def finish(node: Node, pending: Pending, due: Due) -> None:
    """Take down what is due; what fails is logged and kept for the runtime."""
    for container_id, call in due.items():
        try:
            with node.executor.runner() as runner:
                _finish(node, pending, container_id, call, runner)
        except Unavailable as cause:
            _log_waiting(due, cause)
            return
        except (CniError, ShimGone, CorruptRecord, OSError) as cause:
            extra = {"sandbox": container_id, "cause": str(cause)}
            log.warning("a sandbox could not be taken down; it waits for the runtime's next call", extra=extra)
        except Exception:
            log.exception("recovery failed in an unforeseen way", extra={"sandbox": container_id})


def _is_due(node: Node, container_id: ContainerId, *, unfinished: bool = True) -> bool:
    """Whether its sandbox has gone, or it is unfinished, so that the runtime has got an error for it."""
    try:
        record = node.journal.open(container_id)
        if record is None:
            return False
        return gone(record.sandbox) if record.finished else unfinished
    except (CorruptRecord, OSError) as cause:
        extra = {"sandbox": container_id, "cause": str(cause)}
        log.warning("it cannot be told whether a sandbox still stands; it is left alone", extra=extra)
        return False


def _finish(node: Node, pending: Pending, container_id: ContainerId, call: Call | None, runner: Runner) -> None:
    """Take one sandbox down, unless a call of the runtime's did so meanwhile, or even attached it again."""
    with node.locks.sandbox(container_id, deadline(Verb.DEL)):
        if not (pending.waits(container_id) or _is_due(node, container_id)):
            return
        if call is not None:
            with _request(call, runner) as request:
                delete.delete_held(node, request)
        elif (record := node.journal.open(container_id)) is not None:
            planned = recorded_plan(record)
            with recorded_sandbox(node, record, planned, runner, until=deadline(Verb.DEL)) as sandbox:
                delete.detach(node, sandbox, known(record, planned))
        pending.done(container_id)
    log.info("a sandbox was taken down that was left behind", extra={"sandbox": container_id})


@contextlib.contextmanager
def _request(call: Call, runner: Runner) -> Iterator[Request]:
    """A recorded DEL as a request; its namespace is opened anew, if it is there."""
    asked = environment.parse(call.environment)
    with contextlib.ExitStack() as opened:
        netns = None
        with contextlib.suppress(OSError):
            netns = os.open(asked.netns, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            opened.callback(os.close, netns)
        yield Request(
            environment=asked,
            stdin=call.stdin,
            parent=call.parent,
            netns=netns,
            runner=runner,
            deadline=deadline(Verb.DEL),
        )


def _log_waiting(due: Due, cause: CniError) -> None:
    log.warning("no executor; what was left behind waits for the runtime", extra={"cause": cause.msg})
    for container_id, call in due.items():
        what = "an ADD was not finished, or its sandbox has gone" if call is None else "a DEL came while no agent lived"
        log.warning("%s; it waits for the runtime's next call", what, extra={"sandbox": container_id})


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
