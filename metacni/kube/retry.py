# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the API server is asked again: all of tenacity is in this file.

Full jitter between 0.5 and 30 s: a whole cluster of agents must not come back in step after an outage. Only questions
to the API server are ever repeated; nothing on the way of a request waits here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
_WAIT = tenacity.wait_random_exponential(multiplier=2 * FIRST_SECONDS, min=FIRST_SECONDS, max=LONGEST_SECONDS)


def until_done(work: Callable[[], None], stopped: threading.Event, failed: Callable[[BaseException], None]) -> None:
    """Run `work` until it returns, pausing after each failure, or until `stopped` is set; `failed` hears of each."""

    def report(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None and not stopped.is_set():
            failed(error)

    def unless_stopped() -> None:  # tenacity wakes from its pause for one more try
        if not stopped.is_set():
            work()

    retrying = tenacity.Retrying(
        wait=_WAIT,
        stop=tenacity.stop_when_event_set(stopped),
        sleep=tenacity.sleep_using_event(stopped),
        retry=tenacity.retry_if_exception_type(Exception),
        after=report,
    )
    try:
        retrying(unless_stopped)
    except tenacity.RetryError:
        return  # told to stop: the failure has been reported


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row."""
    state = tenacity.RetryCallState(_CLOCKLESS, None, (), {})
    state.attempt_number = failures
    return float(_WAIT(state))


_CLOCKLESS = tenacity.Retrying()
