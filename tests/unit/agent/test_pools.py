# SPDX-License-Identifier: Apache-2.0
"""Bounded queues."""

import threading

import pytest

from metacni.agent.pools import Pool
from metacni.cni.errors import CniError, Code


def test_work_beyond_the_queue_is_told_to_try_again() -> None:
    """One runs, one waits, the third is refused with code 11; after the first ended there is room again."""
    pool = Pool("ADD", workers=1, queue=1)
    hold, done = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        hold.wait()
        done.release()

    pool.submit(work)
    pool.submit(work)
    with pytest.raises(CniError) as caught:
        pool.submit(work)
    assert caught.value.code == Code.TRY_AGAIN
    hold.set()
    assert done.acquire(timeout=5)
    assert done.acquire(timeout=5)
    pool.close()


def test_a_closed_pool_finishes_what_it_took_and_takes_no_more() -> None:
    """Nothing that was accepted is dropped."""
    pool = Pool("ADD", workers=1, queue=4)
    hold, done = threading.Event(), threading.Semaphore(0)
    pool.submit(hold.wait)  # type: ignore[arg-type]  # its answer does not matter
    pool.submit(done.release)
    pool.close()
    with pytest.raises(CniError) as caught:
        pool.submit(done.release)
    assert caught.value.code == Code.TRY_AGAIN
    hold.set()
    assert done.acquire(timeout=5)
