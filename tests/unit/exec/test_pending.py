# SPDX-License-Identifier: Apache-2.0
"""The DELs that nobody answered."""

import os
from pathlib import Path

from metacni.cni.names import ContainerId
from metacni.exec import frames
from metacni.exec.pending import Pending

CALL = frames.pack(frames.Type.CALL, 0, b"\0", b"metacni", b"containerd", b"{}", b"CNI_COMMAND=DEL")


def test_records_come_oldest_first_with_their_calls(tmp_path: Path) -> None:
    """In the order in which the runtime asked."""
    (tmp_path / "pending").mkdir()
    for age, name in enumerate(("b", "c", "a")):
        (tmp_path / "pending" / name).write_bytes(CALL)
        os.utime(tmp_path / "pending" / name, times=(1000 - age, 1000 - age))
    found = list(Pending(tmp_path).calls())
    assert [name for name, _ in found] == ["a", "c", "b"]
    assert all(call and call.environment == {"CNI_COMMAND": "DEL"} for _, call in found)


def test_a_damaged_record_still_names_its_sandbox(tmp_path: Path) -> None:
    """The journal knows the rest."""
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "cut").write_bytes(CALL[:-1])
    assert list(Pending(tmp_path).calls()) == [("cut", None)]


def test_only_container_ids_are_records(tmp_path: Path) -> None:
    """A shim's temporary file is none, nor is what somebody else left."""
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / ".4711").write_bytes(CALL)
    (tmp_path / "pending" / "a b").write_bytes(CALL)
    assert not list(Pending(tmp_path).calls())


def test_no_folder_is_no_record(tmp_path: Path) -> None:
    """Before the first DEL."""
    assert not list(Pending(tmp_path).calls())


def test_a_record_is_forgotten_once_and_again(tmp_path: Path) -> None:
    """Two calls for one sandbox may both end it."""
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "c1").write_bytes(CALL)
    pending = Pending(tmp_path)
    pending.done(ContainerId("c1"))
    pending.done(ContainerId("c1"))
    assert not list(pending.calls())
