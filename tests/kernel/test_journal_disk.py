# SPDX-License-Identifier: Apache-2.0
"""The journal on a disk that is full, read-only, or not ours, and beside real network namespaces."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metacni.cni.names import ContainerId
from metacni.journal.journal import CorruptRecord, Journal, Record, SandboxIdentity, alive, boot_id
from tests.kernel.conftest import Namespace

SANDBOX = SandboxIdentity(boot_id="boot", netns_path="/run/netns/p1", device=4, inode=4026532000)
PLAN = b"p" * 3000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def journal(disk: Path) -> Iterator[Journal]:
    """A journal on that disk."""
    opened = Journal(disk)
    yield opened
    opened.close()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """The disk as the kernel leaves it after an error."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def fill(journal: Journal) -> list[Record]:
    """Begin records until the disk is full."""
    made: list[Record] = []

    def begin_for_ever() -> None:
        while True:
            made.append(journal.begin(ContainerId(f"c{len(made)}"), PLAN, sandbox=SANDBOX, durable=False))

    with pytest.raises(OSError, match="No space left on device") as caught:
        begin_for_ever()
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(made[0].path.parent / f"c{len(made)}"))
    return made


def test_a_full_disk_is_an_error_and_no_half_record(journal: Journal, disk: Path) -> None:
    """The error has number and path, what is there is whole, and nothing unfinished is left to fill the disk."""
    made = fill(journal)
    assert len(made) > 3
    assert sorted(path.name for path in (disk / "sandboxes").iterdir()) == sorted(r.container_id for r in made)
    assert {record.plan for record in made} == {PLAN}


def test_a_step_on_a_full_disk_is_an_error_and_leaves_the_older_one(journal: Journal, disk: Path) -> None:
    """The record stays usable: ADD can be undone by it."""
    first = fill(journal)[0]
    first.remove()
    record = journal.begin(ContainerId("again"), b"plan", sandbox=SANDBOX, durable=False)
    with pytest.raises(OSError, match="No space left on device"):
        record.step(0, 0, b"r" * 60_000)
    assert (record.plan, record.steps(), record.damaged) == (b"plan", {}, [])
    assert not list(disk.rglob(".*"))


def test_a_full_disk_is_seen_before_and_gone_after_a_removal(journal: Journal) -> None:
    """STATUS learns it by trying, and removing needs no room."""
    made = fill(journal)
    fault = journal.writable()
    assert fault is not None
    assert fault.endswith(": no space left on device")
    for record in made:
        record.remove()
    assert journal.writable() is None
    assert journal.sandboxes() == ()


def test_a_read_only_disk_is_an_error_and_still_read(journal: Journal, disk: Path) -> None:
    """Every write names number and path; what was kept can be read."""
    record = journal.begin(ContainerId("c0"), PLAN, sandbox=SANDBOX, durable=True)
    calls: tuple[Callable[[], object], ...] = (
        lambda: journal.begin(ContainerId("c1"), PLAN, sandbox=SANDBOX, durable=False),
        lambda: record.step(0, 0, b"r"),
        lambda: record.finish(b"a"),
        lambda: record.publish(b"s"),
        record.remove,
    )
    with read_only(disk):
        for call in calls:
            with pytest.raises(OSError, match="Read-only file system") as caught:
                call()
            assert str(caught.value.filename).startswith(str(disk / "sandboxes"))
        assert journal.writable() == f"{str(disk / 'sandboxes')!r}: read-only file system"
        assert record.plan == PLAN
    record.remove()


@pytest.mark.parametrize("name", ["", "plan"])
def test_what_another_user_owns_is_not_trusted(journal: Journal, name: str) -> None:
    """Folder or file: it is named, with its owner."""
    record = journal.begin(ContainerId("c0"), PLAN, sandbox=SANDBOX, durable=False)
    os.chown(record.path / name, 65534, 65534)
    with pytest.raises(CorruptRecord, match=r"its owner is user 65534, not 0$"):
        _ = record.plan


def test_a_sandbox_lives_as_long_as_its_namespace(pod: Callable[[], Namespace]) -> None:
    """By what was seen through the descriptor; a plain file left at the path of an unmounted namespace is not it."""
    one = pod()
    fd = os.open(one.path, os.O_RDONLY)
    status = os.fstat(fd)
    os.close(fd)
    identity = SandboxIdentity(boot_id=boot_id(), netns_path=str(one.path), device=status.st_dev, inode=status.st_ino)
    assert alive(identity)
    subprocess.run(["umount", one.path], check=True)
    assert not alive(identity)
    one.path.unlink()
    assert not alive(identity)
    subprocess.run(["ip", "netns", "add", one.name], check=True)
