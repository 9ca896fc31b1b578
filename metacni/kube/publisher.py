# SPDX-License-Identifier: Apache-2.0
"""What the agent says to the cluster: statuses and Events, each with its own thread and connections.

Two of each so that neither can hold up the other; the caller waits for none. This module must not build texts: they
come finished from the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metacni.kube.events import EventWriter
from metacni.kube.status import StatusWriter
from metacni.kube.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacni.kube.access import Access
    from metacni.kube.source import PodRef

STOP_SECONDS = 1.0


class ApiPublisher:
    """A Publisher over one API server."""

    def __init__(self, access: Access, node_name: str) -> None:
        self._wires = (Wire(access), Wire(access))
        self._statuses = StatusWriter(self._wires[0])
        self._events = EventWriter(self._wires[1], node_name)

    def start(self) -> None:
        """Begin to send."""
        self._statuses.outbox.start()
        self._events.outbox.start()

    def stop(self) -> None:
        """End both threads, blocked or not; unsent statuses are in the journal."""
        for outbox in (self._statuses.outbox, self._events.outbox):
            outbox.halt()
        for wire in self._wires:
            wire.close()
        for outbox in (self._statuses.outbox, self._events.outbox):
            outbox.join(STOP_SECONDS)

    def status(self, pod: PodRef, text: str, done: Callable[[], None], *, sandbox: str) -> None:
        """Queue a network-status."""
        self._statuses.put(pod, text, done, sandbox=sandbox)

    def event(self, pod: PodRef, *, reason: str, message: str, warning: bool) -> None:
        """Queue an Event."""
        self._events.put(pod, reason=reason, message=message, warning=warning)

    def forget(self, sandbox: str) -> None:
        """Drop the status of this sandbox."""
        self._statuses.forget(sandbox)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest unwritten status has been waiting."""
        return self._statuses.outbox.oldest_seconds
