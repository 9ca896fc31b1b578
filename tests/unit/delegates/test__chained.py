# SPDX-License-Identifier: Apache-2.0
"""What chained plugins have in common; the lock of a real namespace stands in tests/kernel."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from delegates import _chained
from delegates.tuning import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve


def test_the_pods_missing_interface_is_named() -> None:
    """Code 7: a plugin before should have made it."""
    error = _chained.missing("eth7")
    assert (error.code, "'eth7'" in error.msg) == (7, True)


def test_a_plugin_alone_is_told_where_it_belongs() -> None:
    """The hint says that it stands behind another."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", {"cniVersion": "1.1.0", "name": "net", "type": "tuning"})
    assert (caught.value.code, "list" in caught.value.details) == (7, True)


def test_one_at_a_time(tmp_path: Path) -> None:
    """The second waits for the first; the lock is not that of the descriptor, which others have too."""
    (tmp_path / "netns").write_text("")

    class Call:
        """The little of a call that a lock needs."""

        fd = os.open(tmp_path / "netns", os.O_RDONLY)

        def netns(self) -> int:
            """The descriptor."""
            return self.fd

    call: Any = Call()
    with _chained.locked(call), pytest.raises(BlockingIOError):
        _lock_at_once(tmp_path / "netns")
    _lock_at_once(tmp_path / "netns")
    os.close(call.fd)


def _lock_at_once(path: Path) -> None:
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
