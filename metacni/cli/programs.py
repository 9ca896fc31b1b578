# SPDX-License-Identifier: Apache-2.0
"""The commands' one door to other programs: no shell, no inherited stdin, and a time limit on whatever answers.

The agent itself starts nothing (the shim does); only the demo comes here.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from metacni.cli.command import CommandError

SECONDS = 120.0
"""More than the longest call of a shim (90 s)."""

Running = subprocess.Popen[bytes]


def ended(command: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a program to its end: exit status, stdout, stderr."""
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


def output(*command: str) -> str:
    """Run a program that must succeed; what it printed.

    Raises:
        CommandError: it did not, with what it said.
    """
    status, printed, said = ended(command)
    if status != 0:
        raise CommandError(f"{' '.join(command)}: {said.strip()}")
    return printed


def shown(command: Sequence[str]) -> int:
    """Run a program that speaks to the user itself; its exit status."""
    return subprocess.run(command, check=False).returncode


def started(command: Sequence[str], log: Path) -> Running:
    """Start a program that goes on, its stderr in a file."""
    with log.open("wb") as written:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=written)
