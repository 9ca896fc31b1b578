# SPDX-License-Identifier: Apache-2.0
"""Pauses between questions to the API server."""

from __future__ import annotations

import threading
import time

import pytest

from metacni.kube import retry


@pytest.mark.parametrize(
    ("failures", "longest"),
    [
        pytest.param(1, 1.0, id="first"),
        pytest.param(2, 2.0, id="second"),
        pytest.param(5, 16.0, id="fifth"),
        pytest.param(6, 30.0, id="sixth, at the limit"),
        pytest.param(5000, 30.0, id="after days"),
    ],
)
def test_a_pause_lies_between_half_a_second_and_its_limit(failures: int, longest: float) -> None:
    """Pauses grow from 0.5 s to at most 30 s."""
    assert all(0.5 <= retry.pause(failures) <= longest for _ in range(200))


def test_pauses_are_jittered() -> None:
    """Two agents that failed together do not come back together."""
    assert len({retry.pause(6) for _ in range(20)}) > 15


def test_work_is_repeated_until_it_returns() -> None:
    """A failure is reported and followed by another try."""
    left = [ValueError("once"), None]
    heard: list[BaseException] = []

    def work() -> None:
        error = left.pop(0)
        if error:
            raise error

    retry.until_done(work, threading.Event(), heard.append)
    assert [str(each) for each in heard] == ["once"]


def test_a_stop_ends_the_pause() -> None:
    """Whoever waits for the next try ends at once when told to, and does not try again."""
    stopped, tries = threading.Event(), []

    def work() -> None:
        tries.append(1)
        threading.Timer(0.05, stopped.set).start()
        raise ValueError

    began = time.monotonic()
    retry.until_done(work, stopped, lambda _: None)
    assert (len(tries), time.monotonic() - began < 0.4) == (1, True)
