# SPDX-License-Identifier: Apache-2.0
"""One collection of the API server, kept in memory by list and watch.

Our own because the library's informer fails on custom objects and keeps a core busy while the server is away. Readers
never wait: they look into a dict that one thread keeps. A round that fails, however it fails, is followed by a pause;
so is a watch that ends as soon as it began, or a server that accepts and hangs up would make us spin.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from metacni.kube import errors, retry
from metacni.kube.source import Health
from metacni.kube.wire import JSON, METADATA, METADATA_LIST, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from metacni.cni.jsontext import Json
    from metacni.kube.wire import Wire

PAGE = 500
LIST_SECONDS = 30.0
WATCH_SECONDS = (240, 300)  # the server ends a watch after a time between: not every agent of a cluster at once
SILENCE_SECONDS = 90.0  # bookmarks come each minute; a watch that says nothing for so long is opened anew
SETTLED_SECONDS = 5.0  # a watch that lived so long was a good one: its end is no failure
STOP_SECONDS = 1.0

_log = logging.getLogger(__name__)
_Object = TypeVar("_Object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection(Generic[_Object]):
    """What is followed: where it is, which part of it, and what is kept of each object."""

    path: str
    keep: Callable[[Mapping[str, Json]], _Object | None]
    query: Mapping[str, str] = field(default_factory=dict)
    metadata_only: bool = False


class Reflector(Generic[_Object]):
    """A thread that follows one collection, and the objects by namespace and name."""

    def __init__(
        self, wire: Wire, collection: Collection[_Object], *, settled_seconds: float = SETTLED_SECONDS
    ) -> None:
        self._wire, self._collection, self._settled_seconds = wire, collection, settled_seconds
        self._objects: dict[tuple[str, str], _Object] = {}
        self._version = ""  # where to watch from; "" = list first
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {collection.path}", daemon=True)
        self._heard = time.monotonic()
        self._synced = False
        self._trouble = ""
        self._complained = False

    def start(self) -> None:
        """Begin to follow."""
        self._heard = time.monotonic()
        self._thread.start()

    def halt(self) -> None:
        """Tell the thread to end; it does when its wire is closed."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread; a name look-up or TLS handshake may hold it a little longer, as a daemon."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def get(self, namespace: str, name: str) -> _Object | None:
        """Return the object as last heard of."""
        return self._objects.get((namespace, name))

    def __len__(self) -> int:
        return len(self._objects)

    def health(self) -> Health:
        """Say whether everything was listed once, how long ago the server last spoke, and what is wrong."""
        return Health(synced=self._synced, age_seconds=time.monotonic() - self._heard, detail=self._trouble)

    def _run(self) -> None:
        while not self._stopped.is_set():
            retry.until_done(self._round, self._stopped, self._failed)

    def _round(self) -> None:
        if not self._version:
            self._list()
        began = time.monotonic()
        end: errors.KubeError
        try:
            self._watch()
            end = errors.SourceUnavailable(f"cannot watch {self._collection.path!r}: the server ends it at once")
        except errors.Gone as gone:
            self._version, end = "", gone
        except errors.SourceUnavailable as away:
            end = away
        if time.monotonic() - began < self._settled_seconds:
            raise end

    def _list(self) -> None:
        """Read the collection page by page, then put it in place at once."""
        objects: dict[tuple[str, str], _Object] = {}
        query = {**self._collection.query, "limit": str(PAGE)}
        while True:
            try:
                page = self._wire.call(self._ask(query, LIST_SECONDS, METADATA_LIST))
            except errors.NotFound as unknown:  # no such resource type: somebody has not finished
                self._objects = {}
                what = f"cannot list {self._collection.path!r}: the API server does not know this resource"
                raise errors.NotFound(f"{what}; is its CRD applied?") from unknown
            for item in _items(page):
                self._put(objects, item)
            version, more = _list_position(page)
            self._heard = time.monotonic()
            if not more:
                break
            query["continue"] = more
        self._objects, self._version, self._synced = objects, version, True
        self._recovered()

    def _watch(self) -> None:
        query = {
            **self._collection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311 - jitter, not a secret
        }
        with self._wire.watch(self._ask(query, SILENCE_SECONDS, METADATA)) as events:
            self._recovered()
            for event in events:
                if self._stopped.is_set():
                    return
                self._apply(event)
                self._recovered()
                if self._complained:
                    _log.info("following %r again", self._collection.path)
                    self._complained = False

    def _apply(self, event: Mapping[str, Json]) -> None:
        kind, body = event.get("type"), event.get("object")
        if not isinstance(body, dict):
            return
        if kind == "ERROR":
            code = body.get("code")
            message = " ".join(str(body.get("message") or "no reason given").split())[:256]
            raise errors.of_status(
                code if isinstance(code, int) else 500, f"cannot watch {self._collection.path!r}", message
            )
        if kind in ("ADDED", "MODIFIED"):
            self._put(self._objects, body)
        elif kind == "DELETED":
            self._objects.pop(_key(body), None)
        self._version = _version(body) or self._version

    def _put(self, objects: dict[tuple[str, str], _Object], body: Mapping[str, Json]) -> None:
        kept = self._collection.keep(body)
        if kept is not None:
            objects[_key(body)] = kept

    def _ask(self, query: Mapping[str, str], seconds: float, metadata: str) -> Ask:
        accept = metadata if self._collection.metadata_only else JSON
        return Ask(path=self._collection.path, query=query, seconds=seconds, accept=accept)

    def _failed(self, error: BaseException) -> None:
        """Keep the reason for health(); the log hears of the first failure since the last event, not of each."""
        if not isinstance(error, errors.KubeError):
            _log.error("cannot follow %r: a fault of ours", self._collection.path, exc_info=error)
        elif not self._complained:
            _log.warning("cannot follow %r, trying on: %s", self._collection.path, error)
            self._complained = True
        self._trouble = str(error)

    def _recovered(self) -> None:
        self._heard = time.monotonic()
        self._trouble = ""


def _items(page: Mapping[str, Json]) -> list[dict[str, Json]]:
    items = page.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _list_position(page: Mapping[str, Json]) -> tuple[str, str]:
    """Return the version to watch from and the token of the next page ("" after the last)."""
    metadata = page.get("metadata")
    more = metadata.get("continue") if isinstance(metadata, dict) else None
    return _version(page), more if isinstance(more, str) else ""


def _version(body: Mapping[str, Json]) -> str:
    metadata = body.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def _key(body: Mapping[str, Json]) -> tuple[str, str]:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return "", ""
    return str(metadata.get("namespace")), str(metadata.get("name"))
