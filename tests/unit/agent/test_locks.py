# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom, with real threads."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from metacni.agent.locks import Locks
from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId

ONE, TWO = ContainerId("one"), ContainerId("two")


def soon() -> float:
    """A deadline that is reached at once."""
    return time.monotonic() + 0.05


def later() -> float:
    """A deadline that no test reaches."""
    return time.monotonic() + 30


def refused(enter: Callable[[], AbstractContextManager[None]]) -> CniError:
    """The error of a lock that is not to be had."""
    with pytest.raises(CniError) as caught, enter():
        pass
    return caught.value


def test_two_operations_of_one_sandbox_never_overlap() -> None:
    """The second gives up with code 11 when the first does not end in time (B23)."""
    locks = Locks()
    with locks.sandbox(ONE, later()):
        fault = refused(lambda: locks.sandbox(ONE, soon()))
    assert fault.code == Code.TRY_AGAIN
    assert "'one' is busy" in fault.msg


def test_different_sandboxes_do_not_wait_for_each_other() -> None:
    """Another sandbox starts at once."""
    locks = Locks()
    with locks.sandbox(ONE, later()), locks.sandbox(TWO, soon()):
        pass


def test_gc_waits_for_sandboxes_and_they_wait_for_gc() -> None:
    """GC runs alone, in both directions."""
    locks = Locks()
    with locks.sandbox(ONE, later()):
        assert refused(lambda: locks.everything(soon())).code == Code.TRY_AGAIN
    with locks.everything(later()):
        assert refused(lambda: locks.sandbox(TWO, soon())).code == Code.TRY_AGAIN
        assert refused(lambda: locks.everything(soon())).code == Code.TRY_AGAIN
    with locks.sandbox(TWO, soon()):
        pass


def test_a_lock_is_free_again_after_an_error_inside() -> None:
    """An operation that fails does not leave its sandbox locked."""
    locks = Locks()
    with pytest.raises(ValueError, match="inside"), locks.sandbox(ONE, later()):
        raise ValueError("inside")
    with locks.sandbox(ONE, soon()):
        pass


def test_a_waiting_gc_goes_before_new_work() -> None:
    """A node that is never idle still collects: once GC waits, it is next."""
    locks = Locks()
    order: list[str] = []
    waiting = threading.Event()

    def collect() -> None:
        waiting.set()
        with locks.everything(later()):
            order.append("gc")

    def work() -> None:
        with locks.sandbox(TWO, later()):
            order.append("work")

    with locks.sandbox(ONE, later()):
        collector = threading.Thread(target=collect)
        collector.start()
        waiting.wait()
        time.sleep(0.05)  # now it waits inside
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.05)
        assert order == []
    collector.join()
    worker.join()
    assert order == ["gc", "work"]
