# SPDX-License-Identifier: Apache-2.0
"""Carries a complete plan out, takes it back, and checks it: the order of things, and nothing else.

ADD goes forward and stops at the first failure (B13, B37); what was begun is undone in reverse, the failed attachment
included, because a failed ADD leaves things behind too (B15). DEL goes backward: inside one list it stops at the
first failure, since later plugins may depend on earlier cleanup; across attachments it never stops (B17, B40).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol, Self

from metacni.agent import runner
from metacni.agent.runner import Refused, Sandbox
from metacni.cni import convert, jsontext, versions
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.result import Result
from metacni.cni.versions import Verb
from metacni.core import request
from metacni.core.plan import Attachment
from metacni.exec.channel import ShimGone

log = logging.getLogger(__name__)


class Steps(Protocol):
    """Where the result of each step is kept before the next one starts: the journal's record."""

    def step(self, attachment: int, plugin: int, result: bytes) -> None:
        """Keep what plugin number `plugin` of attachment number `attachment` printed."""


class Undo:
    """Takes back what an ADD began when its block fails, last first; then `forget`, if nothing is left.

    A failure to undo is logged and never raised, or it would replace the ADD's own error. Where the runtime has killed
    the shim, the sandbox of `spare` is worked on instead: it runs plugins without one.
    """

    def __init__(
        self, sandbox: Sandbox, forget: Callable[[], None], spare: Callable[[], AbstractContextManager[Sandbox]]
    ) -> None:
        self._sandbox = sandbox
        self._forget = forget
        self._spare = spare
        self._begun: list[Attachment] = []
        self._refused: list[Attachment] = []

    def begin(self, attachment: Attachment) -> None:
        """Its first plugin is about to run: from now on something of it may be there."""
        self._begun.append(attachment)

    def refuse(self, attachment: Attachment) -> None:
        """Its first plugin itself said no, and had its chance to leave nothing: what it says on DEL matters less."""
        self._refused.append(attachment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            return
        if not (self._undo_all_without_shim() if isinstance(error, ShimGone) else self._undo_all()):
            return
        try:
            self._forget()
        except OSError as cause:
            log.warning("a failed ADD was undone, but its record stays", extra={"cause": str(cause)})

    def _undo_all(self) -> bool:
        try:
            return self._undo_in(self._sandbox)
        except ShimGone:
            return self._undo_all_without_shim()

    def _undo_all_without_shim(self) -> bool:
        if not self._begun:
            return True
        try:
            with self._spare() as sandbox:
                clean = self._undo_in(sandbox)
        except (CniError, ShimGone) as cause:
            log.warning("undo failed; the runtime's DEL will repeat it", extra={"cause": str(cause)})
            return False
        if clean:
            log.info("an ADD was undone whose shim was killed", extra={"sandbox": sandbox.plan.container_id})
        return clean

    def _undo_in(self, sandbox: Sandbox) -> bool:
        undone = [self._undo(sandbox, attachment) for attachment in reversed(self._begun)]
        return all(undone)

    def _undo(self, sandbox: Sandbox, attachment: Attachment) -> bool:
        try:
            delete_one(sandbox, attachment, prev_result=None)
        except ShimGone:
            raise
        except Exception as fault:  # noqa: BLE001  whatever it is, the next attachment must be undone too
            if attachment in self._refused and isinstance(fault, Refused):
                log.warning("a plugin refused ADD and then DEL; nothing more can be done", extra={"cause": str(fault)})
                return True
            log.warning("undo failed; the runtime's DEL will repeat it", extra={"cause": str(fault)})
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """One attachment as it was made: its final result, and the links in the pod that may go with their group."""

    result: Result
    links: tuple[int, ...]


def add(sandbox: Sandbox, steps: Steps, undo: Undo) -> tuple[Attached, ...]:
    """Run every plugin of every attachment; what became of each, in order.

    Raises:
        CniError: the first failure; `undo` knows what was begun.
    """
    attached: list[Attached] = []
    for number, attachment in enumerate(sandbox.plan.attachments):
        undo.begin(attachment)
        attached.append(_add_one(sandbox, steps, number, attachment, undo))
    return tuple(attached)


def _add_one(sandbox: Sandbox, steps: Steps, number: int, attachment: Attachment, undo: Undo) -> Attached:
    """One attachment: each plugin gets what the one before it printed (B5), the very first our own (B6)."""
    prev: Json = sandbox.plan.prev_result if attachment.default else None
    result = Result()
    links: list[int] = []
    for index in range(len(attachment.config.plugins)):
        stdin = request.stdin(attachment, index, prev)
        try:
            printed = runner.run(sandbox, Verb.ADD, attachment, index, stdin, made=links.append)
        except Refused:
            if index == 0:
                undo.refuse(attachment)
            raise
        steps.step(number, index, printed)
        prev, result = _understood(printed, attachment, index)
    return Attached(result=result, links=tuple(links))


def _understood(printed: bytes, attachment: Attachment, index: int) -> tuple[Json, Result]:
    """A result as it was printed, and read at once: what makes no sense is the fault of the plugin that printed it."""
    try:
        body = jsontext.loads_object(printed, "its result")
        return body, convert.parse(body, attachment.config.version)
    except CniError as fault:
        plugin = attachment.config.plugins[index].type
        raise fault.within(f"{runner.where(attachment, Verb.ADD)}: plugin {plugin!r}") from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the journal still knows of a sandbox's attachments, by their number."""

    results: Mapping[int, Json] = field(default_factory=dict)
    links: Mapping[int, Sequence[int]] = field(default_factory=dict)


def delete(sandbox: Sandbox, known: Known) -> list[CniError]:
    """DEL every attachment, last first; the failures, each one line.

    Programs keep their place in the order; the links of the delegates between two of them go together (decision 6).
    """
    failures: list[CniError] = []
    backward = reversed(list(enumerate(sandbox.plan.attachments)))
    for resident, group in groupby(backward, lambda item: _wholly_resident(item[1])):
        members = list(group)
        if resident:
            _delete_links(sandbox, [index for number, _ in members for index in known.links.get(number, ())])
        for number, attachment in members:
            try:
                delete_one(sandbox, attachment, known.results.get(number))
            except CniError as fault:
                failures.append(fault)
            except ShimGone:
                raise
            except Exception as fault:  # a fault of a delegate must not keep the others from being taken away
                extra = {"sandbox": sandbox.plan.container_id, "network": attachment.network}
                log.exception("a plugin failed in an unforeseen way", extra=extra)  # what is raised has no traceback
                failures.append(_unforeseen(attachment, fault))
    return failures


def _unforeseen(attachment: Attachment, fault: Exception) -> CniError:
    what = f"{runner.where(attachment, Verb.DEL)}: internal error: {type(fault).__name__}"
    return CniError(Code.INTERNAL, what, "see the agent's log")


def _wholly_resident(attachment: Attachment) -> bool:
    return all(attachment.owner(index).resident for index in range(len(attachment.config.plugins)))


def _delete_links(sandbox: Sandbox, links: Sequence[int]) -> None:
    """Save the kernel's waiting for each; what fails here is tried again, and told, by each delegate's DEL."""
    if sandbox.pod is None or len(links) <= 1:
        return
    try:
        sandbox.resident.delete_links(sandbox.pod, links)
    except CniError as fault:
        log.info("the pod's links are deleted one by one", extra={"cause": str(fault)})


def delete_one(sandbox: Sandbox, attachment: Attachment, prev_result: Json) -> None:
    """DEL the plugins of one attachment in reverse, stopping at the first that fails (B16)."""
    prev = prev_result if versions.del_has_prev_result(attachment.config.version) else None
    for index in reversed(range(len(attachment.config.plugins))):
        runner.run(sandbox, Verb.DEL, attachment, index, request.stdin(attachment, index, prev))


def check(sandbox: Sandbox, results: Sequence[Json], tolerated: frozenset[str]) -> None:
    """CHECK every attachment that can be checked, forward, each plugin with the attachment's final result (B5, B19).

    Raises:
        CniError: the first failure of a type that is not tolerated (G22); a tolerated one is logged.
    """
    for attachment, result in zip(sandbox.plan.attachments, results, strict=True):
        config = attachment.config
        if config.disable_check or not versions.has(Verb.CHECK, config.version):
            continue
        for index in range(len(config.plugins)):
            try:
                runner.run(sandbox, Verb.CHECK, attachment, index, request.stdin(attachment, index, result))
            except CniError as fault:
                if not tolerated & _types(attachment, index):
                    raise
                log.warning("CHECK failed and is tolerated", extra={"cause": str(fault)})


def _types(attachment: Attachment, index: int) -> frozenset[str]:
    plugin = attachment.config.plugins[index]
    ipam = plugin.raw.get("ipam")
    nested = ipam.get("type") if isinstance(ipam, dict) else None
    return frozenset({str(plugin.type)} | ({nested} if isinstance(nested, str) else set()))
