# SPDX-License-Identifier: Apache-2.0
"""What is read from a record, good and damaged."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacni.agent import records
from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Journal
from metacni.journal.record import Record
from metacni.journal.sandbox import SandboxIdentity, boot_id


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty one."""
    made = Journal(tmp_path / "state")
    yield made
    made.close()


def record(journal: Journal, name: str, plan: bytes = b"{}", *, device: int = 1, inode: int = 2) -> Record:
    """A record of this sandbox."""
    identity = SandboxIdentity(boot_id="b", netns_path="/run/netns/x", device=device, inode=inode)
    return journal.begin(ContainerId(name), plan, sandbox=identity, durable=False)


@pytest.mark.parametrize("plan", [b"{}", b'{"form": 99}', b"[]", b"{"], ids=["empty", "newer", "list", "cut"])
def test_a_plan_that_is_not_ours_is_a_corrupt_record_that_names_the_file(journal: Journal, plan: bytes) -> None:
    """One kind of trouble, whatever its cause: each verb decides what that means for it."""
    with pytest.raises(CorruptRecord, match="c1/plan"):
        records.recorded_plan(record(journal, "c1", plan))


def test_the_final_results_stand_in_the_answer() -> None:
    """One for each attachment, in order."""
    assert records.final_results(b'{"results": [{"a": 1}, {"b": 2}], "answer": {}}') == [{"a": 1}, {"b": 2}]
    with pytest.raises(CniError):
        records.final_results(b"no json")


def test_a_namespace_is_told_by_device_and_inode(tmp_path: Path, journal: Journal) -> None:
    """The same path can lead to another namespace by now."""
    file = tmp_path / "ns"
    file.touch()
    fd = os.open(file, os.O_RDONLY)
    try:
        stat = os.fstat(fd)
        known = record(journal, "c1", device=stat.st_dev, inode=stat.st_ino)
        assert records.is_its_namespace(known, fd)
        assert not records.is_its_namespace(known, None)
        assert not records.is_its_namespace(record(journal, "c2", device=stat.st_dev, inode=0), fd)
    finally:
        os.close(fd)


def test_a_path_is_handed_on_only_while_it_leads_to_the_namespace_of_the_add(tmp_path: Path, journal: Journal) -> None:
    """Else plugins are told that there is none (B20); so they are where it cannot be told."""
    file = tmp_path / "ns"
    file.touch()
    stat = file.stat()

    def begun(name: str, boot: str, inode: int) -> Record:
        known = SandboxIdentity(boot_id=boot, netns_path=str(file), device=stat.st_dev, inode=inode)
        return journal.begin(ContainerId(name), b"{}", sandbox=known, durable=False)

    found = [
        records.standing_netns(begun("stands", boot_id(), stat.st_ino)),
        records.standing_netns(begun("another", boot_id(), stat.st_ino + 1)),
        records.standing_netns(begun("earlier", "earlier", stat.st_ino)),
    ]
    assert found == [str(file), "", ""]
    damaged = begun("damaged", boot_id(), stat.st_ino)
    (damaged.path / "sandbox").write_bytes(b"x")
    assert records.standing_netns(damaged) == ""
