# SPDX-License-Identifier: Apache-2.0
"""The record of one sandbox, from its plan to its removal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacni.cni.names import ContainerId
from metacni.journal.journal import CorruptRecord, Journal, Record, SandboxIdentity

SANDBOX = SandboxIdentity(boot_id="boot", netns_path="/run/netns/p1", device=4, inode=4026532000)
POD = ContainerId("pod1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of its own."""
    opened = Journal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def record(journal: Journal) -> Record:
    """A record with a plan and nothing else."""
    return journal.begin(POD, b'{"plan":1}', sandbox=SANDBOX, durable=False)


def test_a_record_keeps_plan_and_sandbox(journal: Journal, record: Record) -> None:
    """What `begin` was given is there for whoever opens the record later."""
    found = journal.open(POD)
    assert found is not None
    assert (found.container_id, found.plan, found.sandbox) == (POD, b'{"plan":1}', SANDBOX)
    assert found.path == record.path


def test_steps_come_back_in_the_order_of_the_plan(record: Record) -> None:
    """By attachment, then plugin, as numbers and not as text; a repeated step has its last result."""
    record.step(10, 0, b"c")
    record.step(2, 1, b"old")
    record.step(2, 0, b"a")
    record.step(2, 1, b"b")
    assert list(record.steps().items()) == [((2, 0), b"a"), ((2, 1), b"b"), ((10, 0), b"c")]
    assert record.damaged == []


def test_a_corrupt_step_is_left_out_and_reported(record: Record) -> None:
    """DEL goes on without that result (B18), and whoever asked can say so."""
    record.step(0, 0, b"good")
    record.step(0, 1, b"bad")
    path = record.path / "step-0-1"
    path.write_bytes(path.read_bytes()[:-1])
    assert record.steps() == {(0, 0): b"good"}
    assert [(error.path, error.reason) for error in record.damaged] == [(path, "its checksum does not match")]


def test_foreign_files_are_no_steps(record: Record) -> None:
    """Whatever else lies in the folder is not taken for a result."""
    (record.path / "step-0-0.orig").touch()
    (record.path / ".tmp-123").touch()
    assert (record.steps(), record.damaged) == ({}, [])


@pytest.mark.parametrize("name", ["plan", "sandbox"])
def test_a_corrupt_or_missing_plan_is_an_error(record: Record, name: str) -> None:
    """Without the plan nothing can be undone: the error names the file."""
    path = record.path / name
    path.write_bytes(b"")
    with pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(path)!r}: it is cut short")):
        getattr(record, name)
    path.unlink()
    with pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(path)!r}: the file is missing")):
        getattr(record, name)


def test_a_sandbox_file_of_another_shape_is_corrupt(journal: Journal, record: Record) -> None:
    """A right checksum does not make it say what it should."""
    other = journal.begin(ContainerId("other"), b'{"boot_id":1}', sandbox=SANDBOX, durable=False)
    (other.path / "plan").rename(record.path / "sandbox")
    with pytest.raises(CorruptRecord, match="it does not describe a sandbox"):
        _ = record.sandbox


def test_the_answer_makes_a_record_finished(record: Record) -> None:
    """ADD is complete when its answer is kept, and not before (B14)."""
    assert (record.finished, record.answer) == (False, None)
    record.finish(b'{"ips":[]}')
    assert (record.finished, record.answer) == (True, b'{"ips":[]}')


def test_a_corrupt_answer_is_not_an_unfinished_add(record: Record) -> None:
    """Undoing an ADD that was complete would cut off a living pod: still finished, and reading it is an error."""
    record.finish(b"answer")
    (record.path / "answer").write_bytes(b"")
    assert record.finished
    with pytest.raises(CorruptRecord, match="it is cut short"):
        _ = record.answer


def test_a_status_is_unsent_until_it_has_arrived(journal: Journal, record: Record) -> None:
    """The status is kept before it is sent, and noted when it has arrived; the text stays for a look."""
    assert record.unsent() is None
    record.publish(b"[1]")
    reopened = journal.open(POD)
    assert reopened is not None
    assert reopened.unsent() == b"[1]"
    reopened.published()
    assert record.unsent() is None
    assert (record.path / "published").read_bytes().endswith(b"\n[1]")


def test_news_of_an_older_status_does_not_count_for_a_newer_one(journal: Journal, record: Record) -> None:
    """The note that the first has arrived may come when a second one waits: that one stays unsent."""
    record.publish(b"[1]")
    newer = journal.open(POD)
    assert newer is not None
    newer.publish(b"[2]")
    record.published()
    assert record.unsent() == b"[2]"
    newer.published(b"[2]")
    assert record.unsent() is None


def test_news_about_a_removed_record_is_nothing(record: Record) -> None:
    """The API server may answer after DEL."""
    record.publish(b"[1]")
    record.remove()
    record.published()
    assert record.unsent() is None


def test_published_twice_is_published(record: Record) -> None:
    """Saying so again changes nothing."""
    record.publish(b"[1]")
    record.published()
    record.published(b"[1]")
    record.published()
    assert record.unsent() is None


def test_a_corrupt_status_is_left_out_and_reported(record: Record) -> None:
    """It cannot be sent any more; the pod is not affected."""
    record.publish(b"[1]")
    (record.path / "unsent").write_bytes(b"")
    assert record.unsent() is None
    assert [error.path for error in record.damaged] == [record.path / "unsent"]


def test_a_removed_record_leaves_nothing(journal: Journal, record: Record) -> None:
    """Folder and files are gone, and removing once more is fine."""
    record.step(0, 0, b"x")
    record.remove()
    assert journal.open(POD) is None
    assert list(record.path.parent.iterdir()) == []
    record.remove()


def test_nothing_is_kept_in_a_removed_record(record: Record) -> None:
    """A late step must not bring half a record back."""
    record.remove()
    with pytest.raises(FileNotFoundError):
        record.step(0, 0, b"late")
    assert list(record.path.parent.iterdir()) == []
