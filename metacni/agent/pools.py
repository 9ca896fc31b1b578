# SPDX-License-Identifier: Apache-2.0
"""Bounded worker threads: so many requests at once, so many waiting, "try again" beyond (decision 14)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from metacni.cni.errors import CniError, Code


class Pool:
    """A fixed number of threads with a bounded queue."""

    def __init__(self, name: str, workers: int, queue: int) -> None:
        self._name = name
        self._places = threading.BoundedSemaphore(workers + queue)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=name)

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` when a thread is free; `work` must not raise.

        Raises:
            CniError: code 11, the queue is full or the pool is closed.
        """
        if not self._places.acquire(blocking=False):
            raise CniError(
                Code.TRY_AGAIN, f"cannot start: the queue of {self._name} requests is full", "the node is busy"
            )
        try:
            self._threads.submit(self._run, work)
        except RuntimeError:
            self._places.release()
            raise CniError(
                Code.TRY_AGAIN, "cannot start: the agent is stopping", "it will be back in a moment"
            ) from None

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._places.release()

    def close(self) -> None:
        """Take no more work and return at once; what waits is still done, for its caller waits too."""
        self._threads.shutdown(wait=False)
