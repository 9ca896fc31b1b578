# SPDX-License-Identifier: Apache-2.0
"""A folder is the folder itself, never what a link leads to."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from delegates.ipam import folder
from metacni.cni.errors import CniError


def test_it_is_made_with_all_above_it(tmp_path: Path) -> None:
    """The folder itself with its mode, those above for everybody to read; made again it is the same."""
    for _ in range(2):
        os.close(folder.make(tmp_path / "deep" / "er", "net", 0o700))
    modes = [oct((tmp_path / name).stat().st_mode) for name in ("deep", "deep/er", "deep/er/net")]
    assert modes == ["0o40755", "0o40755", "0o40700"]


def test_what_is_not_there_is_not_made_to_look_at(tmp_path: Path) -> None:
    """Neither the folder nor the one above it."""
    assert folder.existing(tmp_path / "none", "net") is None
    assert folder.existing(tmp_path, "net") is None
    assert list(tmp_path.iterdir()) == []


def _link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("spoil", [_link, Path.touch], ids=["symbolic-link", "plain-file"])
@pytest.mark.parametrize("name", ["data", "data/net"], ids=["the-data-dir", "the-network"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, spoil: Callable[[Path], None]) -> None:
    """With code 5 and its path."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "elsewhere").mkdir()
    spoil(path)
    for use in (folder.make, folder.existing):
        with pytest.raises(CniError, match="lease folder") as caught:
            use(tmp_path / "data", "net")
        assert caught.value.code == 5
