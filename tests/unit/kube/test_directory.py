# SPDX-License-Identifier: Apache-2.0
"""A folder as a source: strict at the start, forgiving afterwards, and never led astray."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from metacni.kube.directory import LOOK_SECONDS, DirectorySource
from metacni.kube.errors import BadManifest
from metacni.kube.source import NetworkDefinition, PodInfo
from tests.unit.kube.fake_api import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from metacni.kube.source import Source

NAD = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: %s}\nspec: {config: '%s'}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {k8s.v1.cni.cncf.io/networks: lan}}\n"


def _started(folder: Path) -> Source:
    source = DirectorySource(folder)
    source.start()
    return source


def _config(source: Source, name: str = "lan") -> str | None:
    found = source.definition("default", name)
    return found.config if found else None


def _logged(source: Source, caplog: pytest.LogCaptureFixture, lines: int) -> bool:
    """Look at the files, as each request does, and count what was logged."""
    return _config(source) is not None and len(caplog.records) == lines


def test_definitions_and_pods_of_all_files_are_there(tmp_path: Path) -> None:
    """YAML under both endings and JSON are read; other files are not."""
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    (tmp_path / "b.yml").write_text(POD)
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}}')
    (tmp_path / "README.md").write_text("not: [yaml")
    (tmp_path / ".a.yaml.swp.yaml").write_text("not: [yaml")
    source = _started(tmp_path)
    assert source.definition("default", "lan") == NetworkDefinition(namespace="default", name="lan", config="1")
    annotations = {"k8s.v1.cni.cncf.io/networks": "lan"}
    assert source.pod("default", "p") == PodInfo(namespace="default", name="p", uid="", annotations=annotations)
    assert (source.pod_live("default", "q") is not None, source.pod("default", "none")) == (True, None)
    assert (source.health().synced, source.health().detail) == (True, "")


def test_a_broken_file_at_the_start_is_an_error_with_file_and_line(tmp_path: Path) -> None:
    """An agent must not start with half of its definitions."""
    (tmp_path / "a.yaml").write_text("a: [1\nb: 2\n")
    with pytest.raises(BadManifest, match=rf"^cannot parse {tmp_path}/a.yaml:2: "):
        _started(tmp_path)


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A misspelt --definitions is told at the start."""
    with pytest.raises(BadManifest, match=r"cannot read folder '.*/none': no such file or directory"):
        _started(tmp_path / "none")


@pytest.mark.parametrize("second", [pytest.param("a.yaml", id="in one file"), pytest.param("b.yaml", id="in two")])
def test_a_definition_that_stands_twice_is_an_error(tmp_path: Path, second: str) -> None:
    """Which of two would count must not depend on an order."""
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    with (tmp_path / second).open("a") as file:
        file.write("---\n" + NAD % ("lan", "2"))
    with pytest.raises(BadManifest, match=f"cannot use {second}: 'default/lan' stands twice"):
        _started(tmp_path)


def test_edits_are_seen_within_about_a_second(tmp_path: Path) -> None:
    """Changed, new and removed files take effect without a restart."""
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    (tmp_path / "b.yaml").write_text(NAD % ("old", "1"))
    source = _started(tmp_path)
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "22"))
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "c.yaml").write_text(NAD % ("new", "3"))
    eventually(lambda: _config(source) == "22", 2.5)
    assert (_config(source, "old"), _config(source, "new")) == (None, "3")


def test_a_broken_edit_keeps_what_the_file_last_said(tmp_path: Path) -> None:
    """Pods depend on us by now: the last good text stands, health says so, and other files are followed."""
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    source = _started(tmp_path)
    (tmp_path / "a.yaml").write_text("a: [1\nb: 2\n")
    (tmp_path / "b.yaml").write_text(NAD % ("new", "2"))
    eventually(lambda: f"cannot parse {tmp_path}/a.yaml:2: " in source.health().detail, 2.5)
    assert (_config(source), _config(source, "new"), source.health().synced) == ("1", "2", True)
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "333"))
    eventually(lambda: _config(source) == "333", 2.5)
    assert source.health().detail == ""


def test_a_broken_edit_is_logged_once_and_so_is_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning with file and line for each change that leaves the file broken, one line when it is good again."""
    caplog.set_level("INFO")
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    source = _started(tmp_path)
    for number, text in enumerate(("a: [1\nb: 2\n", "a: [1\nb: 2\n\n", NAD % ("lan", "333"))):
        (tmp_path / "a.yaml").write_text(text)
        assert len(caplog.records) == number
        eventually(partial(_logged, source, caplog, number + 1), 2.5)
        time.sleep(LOOK_SECONDS)
        assert _config(source) is not None  # looked at once more, and nothing new to say
    assert source.health().detail == ""
    levels = [(record.levelname, record.getMessage().split(": ")[0]) for record in caplog.records]
    broken = ("WARNING", f"cannot parse {tmp_path}/a.yaml:2")
    assert levels == [broken, broken, ("INFO", "mended")]
    assert caplog.records[0].getMessage().endswith("; until it is mended, what it last said stands")


def test_a_folder_that_vanishes_keeps_the_last_words(tmp_path: Path) -> None:
    """A folder that is away for a while costs a report, not the definitions."""
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.yaml").write_text(NAD % ("lan", "1"))
    source = _started(folder)
    folder.rename(tmp_path / "away")
    eventually(lambda: "no such file or directory" in source.health().detail, 2.5)
    assert _config(source) == "1"
    (tmp_path / "away").rename(folder)
    eventually(lambda: source.health().detail == "", 2.5)


def test_links_pipes_and_folders_are_ignored_with_a_note(tmp_path: Path) -> None:
    """Only regular files are opened: root must not be led elsewhere nor be made to wait."""
    secret = tmp_path / "secret"
    secret.write_text(NAD % ("secret", "1"))
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(secret)
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    source = _started(folder)
    assert _config(source, "secret") is None
    assert source.health().detail.split("; ") == [
        f"{folder}/{name}.yaml: ignored, it is not a regular file" for name in ("folder", "link", "pipe")
    ]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """More than four MiB is no set of definitions."""
    (tmp_path / "a.yaml").write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(BadManifest, match="it is longer than 4 MiB"):
        _started(tmp_path)


def test_reads_in_a_row_look_at_the_folder_once(tmp_path: Path) -> None:
    """A thousand look-ups cost a thousand dictionary reads, and there is no thread."""
    (tmp_path / "a.yaml").write_text(NAD % ("lan", "1"))
    before = threading.active_count()
    source = _started(tmp_path)
    began = time.monotonic()
    assert all(_config(source) == "1" for _ in range(1000))
    assert time.monotonic() - began < 0.1
    assert threading.active_count() == before
    source.stop()
