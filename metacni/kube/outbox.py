# SPDX-License-Identifier: Apache-2.0
"""Letters to the API server that nobody waits for: one thread, one letter per key, the newest wins.

It exists so that statuses and Events survive an outage without a queue that grows and without a loop that spins. When
the server is away everything waits behind one gate with one backoff, however many letters there are; a letter that the
server refuses waits alone. It must not know what it sends.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from metacni.kube import errors, retry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


@dataclass(slots=True, kw_only=True, eq=False)  # compared by identity: an equal letter that came later is another one
class _Letter(Generic[_Item]):
    item: _Item
    since: float
    due: float = 0.0
    failures: int = 0


class Outbox(Generic[_Item]):
    """Sends each item with `send` until that returns, then calls `sent`, unless a newer one took its place.

    `send` raises KubeError: SourceUnavailable closes the gate for all, anything else delays this item. With a `limit`
    the oldest item makes room.
    """

    def __init__(
        self, name: str, send: Callable[[_Item], None], *, sent: Callable[[_Item], None], limit: int | None = None
    ) -> None:
        self._name, self._send, self._sent, self._limit = name, send, sent, limit
        self._changed = threading.Condition()
        self._waiting: dict[Hashable, _Letter[_Item]] = {}
        self._outages = 0
        self._gate_opens = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def halt(self) -> None:
        """Tell the thread to end after the letter in its hand."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait for the thread."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def put(self, key: Hashable, item: _Item) -> None:
        """Queue an item in place of an older one with this key; never blocks on the network."""
        now = time.monotonic()
        with self._changed:
            older = self._waiting.get(key)
            if older is None and self._limit is not None and len(self._waiting) >= self._limit:
                del self._waiting[next(iter(self._waiting))]
                self.dropped += 1
            self._waiting[key] = _Letter(item=item, since=older.since if older else now)
            self._changed.notify()

    def drop(self, unwanted: Callable[[_Item], bool]) -> None:
        """Forget every item that `unwanted` says is so."""
        with self._changed:
            self._waiting = {key: each for key, each in self._waiting.items() if not unwanted(each.item)}

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest item has been waiting."""
        with self._changed:
            return max((time.monotonic() - each.since for each in self._waiting.values()), default=0.0)

    def __len__(self) -> int:
        return len(self._waiting)

    def _run(self) -> None:
        while (ready := self._next()) is not None:
            key, letter = ready
            try:
                self._send(letter.item)
            except errors.SourceUnavailable as error:
                self._close_gate(error)
            except Exception as error:  # noqa: BLE001 - this thread is the last one to hear of it, and must live
                self._postpone(letter, error)
            else:
                self._outages = 0
                self._settle(key, letter)

    def _next(self) -> tuple[Hashable, _Letter[_Item]] | None:
        """Wait for a letter that is due while the gate is open; None: stop."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                wait = self._gate_opens - now
                if wait <= 0:
                    for key, letter in self._waiting.items():
                        if letter.due <= now:
                            return key, letter
                    wait = min((each.due for each in self._waiting.values()), default=now + 3600.0) - now
                self._changed.wait(max(wait, 0.001))
            return None

    def _close_gate(self, error: errors.SourceUnavailable) -> None:
        if self._outages == 0 and not self._stopped:
            _log.warning("%s waits, %d in the queue: %s", self._name, len(self), error)
        self._outages += 1
        self._gate_opens = time.monotonic() + retry.pause(self._outages)

    def _postpone(self, letter: _Letter[_Item], error: Exception) -> None:
        ours = None if isinstance(error, errors.KubeError) else error
        _log.warning("%s: %s", self._name, error, exc_info=ours)
        letter.failures += 1
        letter.due = time.monotonic() + retry.pause(letter.failures)

    def _settle(self, key: Hashable, letter: _Letter[_Item]) -> None:
        with self._changed:
            if self._waiting.get(key) is not letter:
                return  # replaced or forgotten while it was on its way
            del self._waiting[key]
        try:
            self._sent(letter.item)
        except Exception:  # noqa: BLE001 - likewise; the letter itself is delivered
            _log.exception("%s: the caller's own callback failed", self._name)
