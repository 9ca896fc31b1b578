# SPDX-License-Identifier: Apache-2.0
"""A folder is the folder itself, never what a link leads to; a lock is waited for, and not for ever."""

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from delegates import _disk
from metacni.cni.errors import CniError


def test_a_folder_is_opened_by_its_path_or_in_another(tmp_path: Path) -> None:
    """The second way looks at the last name only."""
    (tmp_path / "in").mkdir()
    above = _disk.folder(tmp_path)
    below = _disk.folder(Path("/elsewhere/in"), above)
    assert os.fstat(below).st_ino == (tmp_path / "in").stat().st_ino
    os.close(above)
    os.close(below)


def test_one_that_is_not_there_is_the_callers_to_judge(tmp_path: Path) -> None:
    """To look makes nothing, and finds nothing."""
    with pytest.raises(FileNotFoundError):
        _disk.folder(tmp_path / "none")


def _link(path: Path) -> None:
    path.symlink_to(".")


@pytest.mark.parametrize("spoil", [_link, Path.touch], ids=["symbolic-link", "plain-file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """With code 5, its path, and what it should have been."""
    spoil(tmp_path / "x")
    with pytest.raises(CniError, match=r"cannot open lease folder '.*/x': a symbolic link, or no folder") as caught:
        _disk.folder(tmp_path / "x", what="lease folder")
    assert caught.value.code == 5


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """By another thread as by another program."""
    first, second = (_disk.folder(tmp_path) for _ in range(2))
    _disk.lock(first)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_disk.lock, second)
        time.sleep(0.05)
        assert not waiting.done()
        os.close(first)
        waiting.result(5)
    os.close(second)


def test_a_lock_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Whoever holds it may be a process of the pod."""
    first, second = (_disk.folder(tmp_path) for _ in range(2))
    _disk.lock(first)
    with pytest.raises(OSError, match="busy") as caught:
        _disk.lock(second, 0.01)
    assert caught.value.errno == errno.EBUSY
    os.close(first)
    os.close(second)
