# SPDX-License-Identifier: Apache-2.0
"""The network-status annotation, written until it is there (C55, C66).

A merge patch on the status subresource, with the UID in it: a pod of the same name that came later must not get the
status of the one before. It must not hold up an ADD (the answer does not wait) nor give up in an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metacni.kube import objects
from metacni.kube.errors import NotFound, Rejected
from metacni.kube.outbox import Outbox
from metacni.kube.wire import MERGE_PATCH, METADATA, Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacni.cni.jsontext import Json
    from metacni.kube.source import PodRef
    from metacni.kube.wire import Wire

PATCH_SECONDS = 5.0
_MAYBE_OTHER_UID = (409, 422)  # the API server has used both for a patch with another UID; both have other causes too


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    pod: PodRef
    sandbox: str
    text: str
    done: Callable[[], None]


class StatusWriter:
    """One queue of statuses, one per pod; its length is bounded by the sandboxes that `forget` has not named."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.outbox: Outbox[_Status] = Outbox("network-status", self._send, sent=lambda status: status.done())

    def put(self, pod: PodRef, text: str, done: Callable[[], None], *, sandbox: str) -> None:
        """Queue a status in place of an older one of this pod."""
        self.outbox.put((pod.namespace, pod.name, pod.uid), _Status(pod=pod, sandbox=sandbox, text=text, done=done))

    def forget(self, sandbox: str) -> None:
        """Drop what waits for this sandbox."""
        self.outbox.drop(lambda status: status.sandbox == sandbox)

    def _send(self, status: _Status) -> None:
        """Return when it is written or can never be."""
        metadata: dict[str, Json] = {"annotations": {objects.NETWORK_STATUS: status.text}}
        if status.pod.uid and not status.pod.static:
            metadata["uid"] = status.pod.uid
        ask = Ask(
            method="PATCH",
            path=objects.pod_path(status.pod.namespace, status.pod.name) + "/status",
            body={"metadata": metadata},
            content_type=MERGE_PATCH,
            seconds=PATCH_SECONDS,
            accept=METADATA,  # the answer is the whole pod otherwise
        )
        try:
            self._wire.call(ask)
        except NotFound:
            if status.pod.static:
                raise  # its mirror may still come; if not, the sandbox's DEL ends the waiting
            return  # C67: the pod is gone, nobody can read its status
        except Rejected as refusal:
            if refusal.status in _MAYBE_OTHER_UID and self._replaced(status.pod):
                return
            raise

    def _replaced(self, pod: PodRef) -> bool:
        """Say whether the name now belongs to another pod, or to none."""
        try:
            ask = Ask(path=objects.pod_path(pod.namespace, pod.name), seconds=PATCH_SECONDS, accept=METADATA)
            found = objects.pod(self._wire.call(ask))
        except NotFound:
            return True
        return found is None or (bool(pod.uid) and found.uid != pod.uid)
