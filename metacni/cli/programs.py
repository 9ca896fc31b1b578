# SPDX-License-Identifier: Apache-2.0
"""The commands' one door to other programs: no shell, no inherited stdin, and a time limit on whatever answers.

The agent itself starts nothing (the shim does); only the demo comes here.
"""

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from metacni.cli.command import CommandError

SECONDS = 120.0
"""More than the longest call of a shim (90 s)."""
STOP = frozenset({signal.SIGINT, signal.SIGTERM})
_BY_SIGNAL = 128  # a shell's exit status for a program that a signal ended, plus its number

Running = subprocess.Popen[bytes]


def ended(command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a program to its end: exit status, stdout, stderr.

    Raises:
        CommandError: it cannot be started, or does not end.
    """
    try:
        done = subprocess.run(
            command, input=stdin, env=env, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except OSError as cause:
        raise CommandError(f"cannot run {command[0]!r}: {(cause.strerror or str(cause)).lower()}") from cause
    except subprocess.TimeoutExpired:
        raise CommandError(f"{' '.join(command)}: no end within {SECONDS:.0f} s") from None
    return done.returncode, done.stdout, done.stderr


def output(*command: str) -> str:
    """Run a program that must succeed; what it printed.

    Raises:
        CommandError: it did not, with what it said.
    """
    status, printed, said = ended(command)
    if status != 0:
        raise CommandError(f"{' '.join(command)}: {' '.join(said.split())}")
    return printed


def shown(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program that speaks to the user itself; its exit status, as a shell would tell it.

    Ctrl-C is the program's: it ends in its own way, and we wait for that. It starts with the signals of STOP blocked
    and unblocks them (`stoppable`) as soon as it knows how to end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        with subprocess.Popen(command, env=env) as child:
            handlers = {number: signal.signal(number, _passer(child)) for number in STOP}
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            try:
                status = child.wait()
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
    except OSError as cause:
        raise CommandError(f"cannot run {command[0]!r}: {(cause.strerror or str(cause)).lower()}") from cause
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return status if status >= 0 else _BY_SIGNAL - status


def stoppable() -> None:
    """From now on the first SIGINT or SIGTERM raises KeyboardInterrupt; the other side of `shown`.

    Only the first one: somebody who is impatient must not end the cleaning up half way.
    """

    def once(_number: int, _frame: FrameType | None) -> None:
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in STOP:
        signal.signal(number, once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)


def started(command: Sequence[str], log: Path) -> Running:
    """Start a program that goes on, its stderr in a file."""
    with log.open("wb") as written:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=written)


def finished(running: Running, seconds: float) -> None:
    """End a program that was started: asked first, and killed when it does not listen."""
    running.terminate()
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def _passer(child: Running) -> Callable[[int, FrameType | None], None]:
    """From a terminal the child has had the signal already, and takes no second one; from `kill` only we have."""
    return lambda number, _frame: child.send_signal(number)
