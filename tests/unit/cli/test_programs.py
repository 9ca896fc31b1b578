# SPDX-License-Identifier: Apache-2.0
"""Running other programs."""

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


def test_an_exit_status_is_handed_on() -> None:
    """Of a program that speaks to the user itself."""
    assert programs.shown(["false"]) == 1


def test_a_started_program_writes_its_stderr_to_the_file(tmp_path: Path) -> None:
    """It goes on while we do something else."""
    running = programs.started(["ls", "/nonexistent"], tmp_path / "log")
    assert running.wait(10) != 0
    assert "/nonexistent" in (tmp_path / "log").read_text()
