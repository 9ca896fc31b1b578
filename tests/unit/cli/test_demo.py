# SPDX-License-Identifier: Apache-2.0
"""The outer half of the demo: what it needs, and what it starts."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from metacni.cli import demo
from metacni.cli.command import CommandError
from metacni.cli.demo_node import namespaces


def programs(folder: Path, *names: str) -> Path:
    """A folder with these programs, each of which writes down how it was called and ends with status 3."""
    folder.mkdir(exist_ok=True)
    for name in names:
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\nimport json, pathlib, sys\n"
            f"pathlib.Path({str(folder / 'called')!r}).write_text(json.dumps(sys.argv[1:]))\nsys.exit(3)\n"
        )
        program.chmod(0o755)
    return folder


def options(**given: Path) -> argparse.Namespace:
    """What was typed."""
    return argparse.Namespace(**{"examples": None, "plugins": Path("/nonexistent"), **given})


def test_the_example_beside_the_sources_is_the_default() -> None:
    """`make demo` names none; it is read, and the next thing that is missing is told."""
    with pytest.raises(CommandError, match="cannot find the reference plugins in '/nonexistent'"):
        demo.run(options())


def test_an_example_that_cannot_be_used_is_told_first(tmp_path: Path) -> None:
    """What was typed wrong is told whoever asks, before root and programs are looked at."""
    with pytest.raises(CommandError, match=r"it has no node\.conflist; name one with --examples DIR"):
        demo.run(options(examples=tmp_path))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be another user for a while."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_programs_are_named_all_at_once(tmp_path: Path) -> None:
    """With the packages that bring them."""
    folder = programs(tmp_path / "bin", "unshare", "mount")
    with pytest.raises(CommandError, match=r"^cannot find ip, ping: install util-linux, iproute2"):
        demo._require_programs(f"/nonexistent:{folder}")


@pytest.mark.skipif(os.geteuid() != 0, reason="root lends its PATH to somebody else")
def test_folders_that_may_not_be_entered_are_passed_over() -> None:
    """With the PATH of root, somebody else meets folders that are closed to them: no traceback."""
    with TemporaryDirectory() as shared:  # pytest's own is closed to others
        Path(shared).chmod(0o755)
        folder = programs(Path(shared) / "bin", *demo.NEEDED)
        closed = programs(Path(shared) / "closed", "ip")
        closed.chmod(0o700)
        with as_nobody():
            demo._require_programs(f"{closed}:{folder}")
            with pytest.raises(CommandError, match="cannot find the reference plugins"):
                demo._require_plugins(closed)


def test_missing_reference_plugins_are_named(tmp_path: Path) -> None:
    """With the package, and the option for another folder."""
    with pytest.raises(CommandError, match="install containernetworking-plugins, or name their folder with --plugins"):
        demo._require_plugins(tmp_path / "plugins")
    demo._require_plugins(programs(tmp_path / "plugins", "bridge"))


def test_it_needs_root_and_says_how() -> None:
    """Network namespaces are root's."""
    demo._require_root(0)
    with pytest.raises(CommandError, match="sudo make demo"):
        demo._require_root(1000)


def test_the_other_half_runs_in_fresh_namespaces(tmp_path: Path) -> None:
    """It is told which ones are the machine's, so that it can refuse to work there; its status is the demo's."""
    folder = programs(tmp_path / "bin", "unshare")
    assert demo._play(tmp_path / "example", tmp_path / "plugins", str(folder)) == 3
    assert json.loads((folder / "called").read_text()) == [
        *("--net", "--mount", "--propagation", "private", "--"),
        *(sys.executable, "-m", "metacni.cli.demo_story", str(tmp_path / "example"), str(tmp_path / "plugins")),
        *namespaces(),
    ]


def test_folders_are_made_as_far_as_they_are_missing(tmp_path: Path) -> None:
    """And told deepest first, so that they can be taken away again."""
    assert demo._make_folders(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
    assert demo._make_folders(tmp_path / "a" / "b") == []
