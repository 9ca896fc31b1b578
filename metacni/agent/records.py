# SPDX-License-Identifier: Apache-2.0
"""What the verbs read from a record of the journal: the plan, the results, and whether a namespace is still the one.

Whatever cannot be used, for damage or because another version wrote it, is one CorruptRecord here: each verb decides
what that means for it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from metacni.agent.attach import Known
from metacni.cni import convert, jsontext, keys
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import NetnsPath
from metacni.core import plan
from metacni.core.plan import Plan
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Record
from metacni.journal.sandbox import alive
from metacni.netns import sandbox as namespaces

log = logging.getLogger(__name__)


def recorded_plan(record: Record) -> Plan:
    """The plan of the ADD (B24).

    Raises:
        CorruptRecord: its file is damaged, or another version of metacni wrote it.
    """
    try:
        return plan.from_json(jsontext.loads_object(record.plan, "the journal's plan"))
    except CniError as cause:
        raise CorruptRecord(record.path / "plan", cause.msg) from cause


def final_results(answer: bytes) -> list[Json]:
    """The final result of each attachment of a finished ADD, in order.

    Raises:
        CniError: these bytes are no answer of ours.
    """
    return keys.items(jsontext.loads_object(answer, "the journal's answer"), "results") or []


def known(record: Record, planned: Plan) -> Known:
    """What DEL can use: the last result of each attachment (the finished ADD's, else that of its last step: B16).

    One that cannot be read, or that no plugin should have printed, is left out: its DEL goes without (B18). Links are
    those of a finished ADD: what was begun only, each delegate finds by itself.
    """
    try:
        if (answer := record.answer) is not None:
            return Known(results=dict(enumerate(final_results(answer))), links=dict(enumerate(_links(answer))))
    except (CorruptRecord, CniError) as cause:
        log.warning("the journal's answer is damaged; deleting by its steps", extra={"cause": str(cause)})
    return Known(results=_last_steps(record, planned))


def _links(answer: bytes) -> list[list[int]]:
    listed = keys.items(jsontext.loads_object(answer, "the journal's answer"), "links") or []
    return [[index for index in one if isinstance(index, int)] if isinstance(one, list) else [] for one in listed]


def _last_steps(record: Record, planned: Plan) -> dict[int, Json]:
    last: dict[int, Json] = {}
    for (number, _), printed in sorted(record.steps().items()):
        version = planned.attachments[number].config.version
        try:
            body = jsontext.loads_object(printed, "a step of the journal")
            last[number] = convert.render(convert.parse(body, version), version)
        except CniError as cause:
            log.warning("a result is of no use; deleting without it", extra={"cause": str(cause)})
    for damage in record.damaged:
        log.warning("a result is damaged; deleting without it", extra={"cause": str(damage)})
    return last


def is_its_namespace(record: Record, netns: int | None) -> bool:
    """Whether this descriptor is the namespace of the ADD: a path can have been given to another sandbox since.

    Raises:
        CorruptRecord: the record does not say which it was.
    """
    identity = record.sandbox
    return netns is not None and namespaces.identity(netns) == (identity.device, identity.inode)


@contextmanager
def standing(record: Record) -> Iterator[tuple[NetnsPath, int | None]]:
    """Its namespace, path and open, if that still stands; the path may lead elsewhere by now, or nowhere (B20)."""
    with ExitStack() as opened:
        try:
            identity = record.sandbox
            if not alive(identity):
                raise FileNotFoundError(identity.netns_path)
            netns = os.open(identity.netns_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            opened.callback(os.close, netns)
        except (CorruptRecord, OSError):
            found: tuple[NetnsPath, int | None] = NetnsPath(""), None
        else:
            still = is_its_namespace(record, netns)
            found = (NetnsPath(identity.netns_path), netns) if still else (NetnsPath(""), None)
        yield found
