# SPDX-License-Identifier: Apache-2.0
"""The outer half of the demo: what it needs, and what it starts."""

import json
import sys
from pathlib import Path

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


def test_the_example_beside_the_sources_is_the_default() -> None:
    """`make demo` names none."""
    assert (demo._example(None) / "node.conflist").is_file()


@pytest.mark.parametrize("missing", ["node.conflist", "definitions.yaml"])
def test_an_example_needs_both_files(tmp_path: Path, missing: str) -> None:
    """The one that is missing is named, and how to name another example."""
    for name in {"node.conflist", "definitions.yaml"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(CommandError, match=f"it has no {missing}; name one with --examples DIR"):
        demo._example(tmp_path)


def test_missing_programs_are_named_all_at_once(tmp_path: Path) -> None:
    """With the packages that bring them."""
    folder = programs(tmp_path / "bin", "unshare", "mount")
    with pytest.raises(CommandError, match=r"^cannot find ip, ping: install util-linux, iproute2"):
        demo._require_programs(tmp_path, ["/nonexistent", str(folder)])


def test_missing_reference_plugins_are_named(tmp_path: Path) -> None:
    """With the package, and the option for another folder."""
    folder = str(programs(tmp_path / "bin", *demo.NEEDED))
    with pytest.raises(CommandError, match="install containernetworking-plugins, or name their folder with --plugins"):
        demo._require_programs(tmp_path / "plugins", [folder])
    demo._require_programs(programs(tmp_path / "plugins", "bridge"), [folder])


def test_it_needs_root_and_says_how() -> None:
    """Network namespaces are root's."""
    demo._require_root(0)
    with pytest.raises(CommandError, match="sudo make demo"):
        demo._require_root(1000)


def test_the_other_half_runs_in_fresh_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told which ones are the machine's, so that it can refuse to work there; its status is the demo's."""
    folder = programs(tmp_path / "bin", "unshare")
    monkeypatch.setenv("PATH", str(folder))
    assert demo._play(tmp_path / "example", tmp_path / "plugins") == 3
    assert json.loads((folder / "called").read_text()) == [
        *("--net", "--mount", "--propagation", "private", "--"),
        *(sys.executable, "-m", "metacni.cli.demo_story", str(tmp_path / "example"), str(tmp_path / "plugins")),
        *namespaces(),
    ]


def test_folders_are_made_as_far_as_they_are_missing(tmp_path: Path) -> None:
    """And told deepest first, so that they can be taken away again."""
    assert demo._make_folders(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
    assert demo._make_folders(tmp_path / "a" / "b") == []
