# SPDX-License-Identifier: Apache-2.0
"""The seam between the agent and wherever definitions and pods come from.

Everything the agent knows of Kubernetes stands here: values and two Protocols. This module must not import the
Kubernetes client, so that whoever handles these values need not load it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkDefinition:
    """A NetworkAttachmentDefinition; `config` is "" when the object has none (C2, C6)."""

    namespace: str
    name: str
    config: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInfo:
    """What is kept of a pod: its identity and its network annotations.

    `static` pods are shown by the API under another UID than the one the runtime uses, so theirs is never compared.
    """

    namespace: str
    name: str
    uid: str
    annotations: Mapping[str, str]
    static: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRef:
    """Whom a status or an Event is for; an empty `uid` means that any pod of that name will do.

    The API shows a `static` pod under its mirror's UID, and the mirror may come long after the sandbox.
    """

    namespace: str
    name: str
    uid: str
    static: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How far the cache can be trusted: complete once, how long without word, and why if something is wrong."""

    synced: bool
    age_seconds: float
    detail: str = ""


class Source(Protocol):
    """Where definitions and pods are read."""

    def start(self) -> None:
        """Begin to follow the source and return at once; BadManifest if a file given at start is unusable."""

    def stop(self) -> None:
        """End every thread within about a second."""

    def definition(self, namespace: str, name: str) -> NetworkDefinition | None:
        """Return the definition from the cache, else from one live read of at most a second; None: there is none.

        SourceUnavailable or Forbidden: it is not cached and the API server does not tell.
        """

    def pod(self, namespace: str, name: str) -> PodInfo | None:
        """Return the pod from the cache alone; this never waits for the network."""

    def pod_live(self, namespace: str, name: str) -> PodInfo | None:
        """Ask for the pod once, for at most two seconds; SourceUnavailable or Forbidden as for `definition`."""

    def health(self) -> Health:
        """Say how current the cache is."""


class Publisher(Protocol):
    """Where network-status and Events go; no method waits for the network."""

    def start(self) -> None:
        """Begin to send."""

    def stop(self) -> None:
        """End the threads; what is unsent stays the caller's (the journal holds it)."""

    def status(self, pod: PodRef, text: str, done: Callable[[], None], *, sandbox: str) -> None:
        """Write the network-status annotation, as often as it takes; a later text for the same pod replaces this.

        `done` is called once, from the publisher's thread, when it is written or can never be (pod gone, other UID);
        not when a later text replaced it or the sandbox was forgotten.
        """

    def event(self, pod: PodRef, *, reason: str, message: str, warning: bool) -> None:
        """Report something on the pod, if there is room and the API server is there; it may be dropped."""

    def forget(self, sandbox: str) -> None:
        """Drop the status that still waits for this sandbox; its pod may have another sandbox by now."""

    @property
    def lag_seconds(self) -> float:
        """How long the oldest unwritten status has been waiting; 0 when there is none."""
