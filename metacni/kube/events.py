# SPDX-License-Identifier: Apache-2.0
"""Events on pods: what `kubectl describe pod` shows of us (C71).

A courtesy, so it is the first thing to be dropped: the queue is short, an Event that the server refuses is forgotten,
and one that repeats within ten minutes only counts up, at most twice a minute. It must not delay a status.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from metacni.kube.errors import KubeError, NotFound, Rejected, SourceUnavailable
from metacni.kube.outbox import Outbox
from metacni.kube.wire import MERGE_PATCH, Ask

if TYPE_CHECKING:
    from metacni.cni.jsontext import Json
    from metacni.kube.source import PodRef
    from metacni.kube.wire import Wire

COMPONENT = "metacni"
QUEUE_LIMIT = 256
REMEMBERED_LIMIT = 1024
SAME_SECONDS = 600.0
COUNT_SECONDS = 30.0
POST_SECONDS = 5.0
MESSAGE_LIMIT = 1024  # of the API
_EXISTS = 409
_NAME_LIMIT = 230  # of the pod's part in the Event's name; 253 with the digits behind it


@dataclass(slots=True, kw_only=True, eq=False)
class _Event:
    """One reason and message on one pod; `count` says how often since `first`."""

    pod: PodRef
    reason: str
    message: str
    warning: bool
    began: float
    first: str
    last: str
    name: str
    count: int = 1
    posted: bool = False
    sent_at: float = 0.0


class EventWriter:
    """One short queue of Events, and a memory of those of the last ten minutes."""

    def __init__(self, wire: Wire, node_name: str) -> None:
        self._wire, self._node = wire, node_name
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[PodRef, str, str, bool], _Event] = OrderedDict()
        self.outbox: Outbox[_Event] = Outbox("events", self._send, sent=lambda _: None, limit=QUEUE_LIMIT)

    def put(self, pod: PodRef, *, reason: str, message: str, warning: bool) -> None:
        """Queue a new Event, or count a known one up."""
        text = message.encode()[:MESSAGE_LIMIT].decode(errors="ignore")
        key = (pod, reason, text, warning)
        now, stamp = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            event = self._recent.get(key)
            if event is None or now - event.began > SAME_SECONDS:
                event = _Event(
                    pod=pod, reason=reason, message=text, warning=warning,
                    began=now, first=stamp, last=stamp, name=_name(key, time.time_ns()),
                )  # fmt: skip
                self._recent[key] = event
            else:
                event.count += 1
                event.last = stamp
                if event.posted and now - event.sent_at < COUNT_SECONDS:
                    return
            self._recent.move_to_end(key)
            while len(self._recent) > REMEMBERED_LIMIT:
                self._recent.popitem(last=False)
        self.outbox.put(event.name, event)

    def _send(self, event: _Event) -> None:
        with self._lock:
            ask = self._counted(event) if event.posted else self._whole(event)
        try:
            self._wire.call(ask)
        except SourceUnavailable:
            raise
        except NotFound:
            event.posted = False  # the Event expired on the server (an hour by default), or the namespace is gone
            return
        except Rejected as refusal:
            if refusal.status != _EXISTS:  # exists: an earlier try was answered too late, and had been carried out
                return
        except KubeError:
            return  # refused (no permission, namespace ending): an Event is not worth a second try
        event.posted, event.sent_at = True, time.monotonic()

    def _counted(self, event: _Event) -> Ask:
        return Ask(
            method="PATCH",
            path=f"/api/v1/namespaces/{event.pod.namespace}/events/{event.name}",
            body={"count": event.count, "lastTimestamp": event.last},
            content_type=MERGE_PATCH,
            seconds=POST_SECONDS,
        )

    def _whole(self, event: _Event) -> Ask:
        pod = event.pod
        involved: dict[str, Json] = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name}
        if pod.uid:
            involved["uid"] = pod.uid
        body: dict[str, Json] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": pod.namespace, "name": event.name},
            "involvedObject": involved,
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
            "firstTimestamp": event.first,
            "lastTimestamp": event.last,
            "count": event.count,
        }
        return Ask(method="POST", path=f"/api/v1/namespaces/{pod.namespace}/events", body=body, seconds=POST_SECONDS)


def _name(key: tuple[PodRef, str, str, bool], now: int) -> str:
    """Return a name that no other Event has: two agents may speak of one pod in the same instant."""
    digest = hashlib.sha256(repr((key, now)).encode()).hexdigest()[:16]
    return f"{key[0].name[:_NAME_LIMIT].rstrip('.-')}.{digest}"
