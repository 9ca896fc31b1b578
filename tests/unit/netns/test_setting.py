# SPDX-License-Identifier: Apache-2.0
"""One setting by its descriptor, here a file."""

import os
from pathlib import Path

import pytest

from metacni.netns import setting


def test_a_setting_is_read_and_written_whole(tmp_path: Path) -> None:
    """Also one that is longer than most, and one that has the value already."""
    path = tmp_path / "x"
    path.write_text("1" * 500 + "\n")
    fd = os.open(path, os.O_RDWR)
    assert setting.read(fd) == "1" * 500
    for _ in range(2):
        setting.write(fd, "2" * 500)
        assert setting.read(fd) == "2" * 500
    os.close(fd)


def test_the_kernel_has_the_last_word(tmp_path: Path) -> None:
    """What cannot be written raises."""
    (tmp_path / "x").write_text("")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        setting.write(fd, "1")
    os.close(fd)
