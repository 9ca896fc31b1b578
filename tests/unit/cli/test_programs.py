# SPDX-License-Identifier: Apache-2.0
"""Running other programs."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metacni.cli import programs
from metacni.cli.command import CommandError


def test_what_a_program_prints_comes_back() -> None:
    """Its stdout, when it succeeds."""
    assert programs.output("echo", "a b") == "a b\n"


def test_a_program_that_fails_is_an_error_with_its_own_words() -> None:
    """One line: what ran and what it said."""
    with pytest.raises(CommandError, match=r"^ls /nonexistent: .*No such file"):
        programs.output("ls", "/nonexistent")


def test_stdin_and_environment_are_what_is_given() -> None:
    """Nothing of ours is inherited."""
    assert programs.ended(["cat"], stdin="in", env={}) == (0, "in", "")
    assert programs.ended(["/usr/bin/env"], env={"A": "b"}) == (0, "A=b\n", "")


def test_a_program_that_is_not_there_is_an_error_in_words() -> None:
    """Neither way of running one ends in a traceback."""
    for run in (programs.ended, programs.shown):
        with pytest.raises(CommandError, match=r"^cannot run '/nonexistent': no such file or directory$"):
            run(["/nonexistent"])


@pytest.mark.parametrize(
    ("command", "status"),
    [
        pytest.param(["false"], 1, id="its-own"),
        pytest.param(["sh", "-c", "kill -9 $$"], 137, id="of-a-signal-as-a-shell-has-it"),
    ],
)
def test_an_exit_status_is_handed_on(command: list[str], status: int) -> None:
    """Of a program that speaks to the user itself."""
    assert programs.shown(command) == status


INNER = """
import time
from metacni.cli import programs
try:
    programs.stoppable()
    print("ready", flush=True)
    time.sleep(20)
except KeyboardInterrupt:
    time.sleep(0.5)  # the cleaning up, which a second signal does not cut short
    print("clean", flush=True)
    raise SystemExit(130)
"""
OUTER = "import sys; from metacni.cli import programs; print(programs.shown([sys.executable, '-c', sys.argv[1]]))"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_shown_program_is_stopped_with_us_and_waited_for(number: int) -> None:
    """It gets the signal, cleans up undisturbed, and its status is handed on."""
    command = [sys.executable, "-c", OUTER, INNER]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(number)
        time.sleep(0.2)
        running.send_signal(number)
        assert running.communicate(timeout=20)[0].split() == ["clean", "130"]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param("echo up; exec sleep 20", -signal.SIGTERM, id="it-listens"),
        pytest.param("trap '' TERM; echo up; while :; do sleep 0.1; done", -signal.SIGKILL, id="it-does-not"),
    ],
)
def test_what_was_started_is_ended(tmp_path: Path, script: str, status: int) -> None:
    """Asked, then killed."""
    running = programs.started(["sh", "-c", script.replace("up", "up >&2")], tmp_path / "log")
    until = time.monotonic() + 10
    while not (tmp_path / "log").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    programs.finished(running, 0.3)
    assert running.returncode == status


def test_a_started_program_writes_its_stderr_to_the_file(tmp_path: Path) -> None:
    """It goes on while we do something else."""
    running = programs.started(["ls", "/nonexistent"], tmp_path / "log")
    assert running.wait(10) != 0
    assert "/nonexistent" in (tmp_path / "log").read_text()
