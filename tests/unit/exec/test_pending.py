# SPDX-License-Identifier: Apache-2.0
"""The DELs that nobody answered."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

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


def test_what_a_killed_shim_left_half_written_is_deleted(tmp_path: Path) -> None:
    """Not what one writes just now, and no record."""
    folder = tmp_path / "pending"
    folder.mkdir()
    for name, age in ((".1", 61), (".2", 1), ("c1", 600)):
        (folder / name).write_bytes(CALL)
        os.utime(folder / name, times=(time.time() - age, time.time() - age))
    Pending(tmp_path).sweep()
    assert sorted(file.name for file in folder.iterdir()) == [".2", "c1"]


def test_a_half_written_file_may_get_its_name_at_any_moment(tmp_path: Path) -> None:
    """Shims write while an agent starts: a file that is listed and gone a moment later must not end it."""
    (tmp_path / "pending").mkdir()
    stop = threading.Event()

    def shims() -> None:
        half, whole = tmp_path / "pending/.1", tmp_path / "pending/c1"
        while not stop.is_set():
            half.write_bytes(CALL)
            half.rename(whole)

    writer = threading.Thread(target=shims)
    writer.start()
    try:
        for _ in range(500):
            list(Pending(tmp_path).calls())
            Pending(tmp_path).sweep()
    finally:
        stop.set()
        writer.join()


def test_nothing_is_read_or_deleted_where_a_link_leads(tmp_path: Path) -> None:
    """Whoever puts one in the folder's place must not have root read or delete files of his choice."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("c1", ".1"):
        (elsewhere / name).write_bytes(CALL)
        os.utime(elsewhere / name, times=(0, 0))
    (tmp_path / "pending").symlink_to(elsewhere)
    pending = Pending(tmp_path)
    assert not list(pending.calls())
    pending.sweep()
    pending.done(ContainerId("c1"))
    assert sorted(file.name for file in elsewhere.iterdir()) == [".1", "c1"]


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo], ids=["a-link", "a-fifo"])
def test_a_record_that_is_no_file_is_a_damaged_one(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """It is not followed, and it does not hang the agent's start."""
    (tmp_path / "pending").mkdir()
    make(tmp_path / "pending" / "c1")
    assert list(Pending(tmp_path).calls()) == [("c1", None)]


@pytest.mark.parametrize("make", [Path.touch, lambda _: None], ids=["a-file", "nothing"])
def test_no_folder_is_no_record(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Before the first DEL; and what stands in the folder's place costs the records, and neither a start nor a DEL."""
    make(tmp_path / "pending")
    pending = Pending(tmp_path)
    assert not list(pending.calls())
    pending.sweep()
    pending.done(ContainerId("c1"))


def test_a_record_is_forgotten_once_and_again(tmp_path: Path) -> None:
    """Two calls for one sandbox may both end it."""
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "c1").write_bytes(CALL)
    pending = Pending(tmp_path)
    pending.done(ContainerId("c1"))
    pending.done(ContainerId("c1"))
    assert not list(pending.calls())


def test_it_is_told_whether_a_delete_waits(tmp_path: Path) -> None:
    """By its name, readable or not; no folder is no DEL."""
    pending = Pending(tmp_path)
    assert not pending.waits(ContainerId("c1"))
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "c1").write_bytes(b"cut")
    assert (pending.waits(ContainerId("c1")), pending.waits(ContainerId("c2"))) == (True, False)
    pending.done(ContainerId("c1"))
    assert not pending.waits(ContainerId("c1"))
