# SPDX-License-Identifier: Apache-2.0
"""The command line itself, as a real process."""

import subprocess
import sys
from pathlib import Path

import pytest

import metacni


def metacni_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `metacni` with these arguments."""
    command = [sys.executable, "-m", "metacni.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_version_is_the_packages() -> None:
    """--version answers without any other import."""
    assert metacni_command("--version").stdout == f"metacni {metacni.__version__}\n"


@pytest.mark.parametrize("command", [(), ("agent",), ("demo",), ("install",)], ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """--help works everywhere and exits 0."""
    done = metacni_command(*command, "--help")
    assert done.returncode == 0
    assert "usage: metacni" in done.stdout


def test_no_command_is_an_error_that_shows_the_usage() -> None:
    """A bare `metacni` does nothing."""
    done = metacni_command()
    assert done.returncode == 2
    assert "usage: metacni" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(("agent", "--config", "/nonexistent.yaml"), "cannot read the configuration", id="no-settings"),
        pytest.param(("agent", "--definitions", "/nonexistent"), "/nonexistent", id="no-definitions"),
        pytest.param(("agent", "--kubeconfig", "/nonexistent"), "/nonexistent", id="no-kubeconfig"),
        pytest.param(("demo", "--examples", "/nonexistent"), "it has no node.conflist", id="no-example"),
        pytest.param(("demo", "--plugins", "/nonexistent"), "cannot find the reference plugins", id="no-plugins"),
        pytest.param(("install", "--bin-dir", "/proc/nowhere"), "cannot install into", id="no-folder"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """Exit status 1, one line on stderr, no traceback, and nothing that looks as if an agent had lived."""
    own = ("--socket", str(tmp_path / "run" / "s"), "--state-dir", str(tmp_path / "state"))
    done = metacni_command(*arguments, *(own if arguments[0] == "agent" else ()))
    assert not (tmp_path / "run").exists()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"metacni {arguments[0]}: ")
    assert told in done.stderr
