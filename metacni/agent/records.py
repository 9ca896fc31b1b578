# SPDX-License-Identifier: Apache-2.0
"""What the verbs read from a record of the journal: the plan, the results, and whether a namespace is still the one.

Whatever cannot be used, for damage or because another version wrote it, is one CorruptRecord here: each verb decides
what that means for it.
"""

import logging

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


def last_results(record: Record, planned: Plan) -> dict[int, Json]:
    """The last known result of each attachment, by number: the finished ADD's, else that of its last step (B16).

    One that cannot be read, or that no plugin should have printed, is left out: its DEL goes without (B18).
    """
    try:
        if record.answer is not None:
            return dict(enumerate(final_results(record.answer)))
    except (CorruptRecord, CniError) as cause:
        log.warning("the journal's answer is damaged; deleting by its steps", extra={"cause": str(cause)})
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
    known = record.sandbox
    return netns is not None and namespaces.identity(netns) == (known.device, known.inode)


def standing_netns(record: Record) -> NetnsPath:
    """Its namespace if that still stands; the path may lead elsewhere by now, or nowhere (B20)."""
    try:
        known = record.sandbox
        return NetnsPath(known.netns_path if alive(known) else "")
    except (CorruptRecord, OSError):
        return NetnsPath("")
