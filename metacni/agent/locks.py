# SPDX-License-Identifier: Apache-2.0
"""Who may work at the same time (decision 14, B23).

Two operations of one sandbox never run in parallel; GC runs alone. Only calls under the runtime's names come here: a
call of a delegate that runs inside our own ADD would wait for itself.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId


class Locks:
    """One lock a sandbox, shared against one exclusive lock for GC; every wait is bounded by the caller's deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sandboxes: set[ContainerId] = set()
        self._collecting = False
        self._collectors = 0  # that wait: new sandbox work lets them go first, or a busy node would never collect

    @contextmanager
    def sandbox(self, container_id: ContainerId, deadline: float) -> Iterator[None]:
        """Hold the sandbox for the body.

        Args:
            container_id: the sandbox.
            deadline: time.monotonic() after which to give up.

        Raises:
            CniError: code 11, another operation of this sandbox, or GC, did not end in time.
        """
        with self._changed:
            self._wait(lambda: self._free(container_id), deadline, f"sandbox {container_id!r} is busy")
            self._sandboxes.add(container_id)
        try:
            yield
        finally:
            with self._changed:
                self._sandboxes.discard(container_id)
                self._changed.notify_all()

    @contextmanager
    def everything(self, deadline: float) -> Iterator[None]:
        """Hold all sandboxes for the body: GC.

        Raises:
            CniError: code 11, the operations that run did not end in time.
        """
        with self._changed:
            self._collectors += 1
            try:
                self._wait(lambda: not self._collecting and not self._sandboxes, deadline, "sandboxes are busy")
                self._collecting = True
            finally:
                self._collectors -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._collecting = False
                self._changed.notify_all()

    def _free(self, container_id: ContainerId) -> bool:
        return not self._collecting and not self._collectors and container_id not in self._sandboxes

    def _wait(self, ready: Callable[[], bool], deadline: float, what: str) -> None:
        if not self._changed.wait_for(ready, max(0.0, deadline - time.monotonic())):
            raise CniError(
                Code.TRY_AGAIN, f"cannot start: {what}", "an earlier operation still runs; the runtime will retry"
            )
