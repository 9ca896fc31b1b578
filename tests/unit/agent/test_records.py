# SPDX-License-Identifier: Apache-2.0
"""What is read from a record, good and damaged."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacni.agent import records
from metacni.agent.attach import Known
from metacni.cni import jsontext
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, NetnsPath, NetworkName
from metacni.core.plan import Plan
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Journal
from metacni.journal.record import Record
from metacni.journal.sandbox import SandboxIdentity, boot_id

PLAN = Plan(
    container_id=ContainerId("c1"),
    netns=NetnsPath("/run/netns/x"),
    pod=None,
    node_network=NetworkName("node-net"),
    version="1.1.0",
    primary_only=False,
    search_path=(),
    attachments=(),
    prev_result=None,
)


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


@pytest.mark.parametrize(
    ("answer", "links"),
    [
        pytest.param({"links": [[4], [], [7, 8]]}, {0: [4], 1: [], 2: [7, 8]}, id="in-order"),
        pytest.param({}, {}, id="from-before-there-were-links"),
        pytest.param({"links": None}, {}, id="null"),
        pytest.param({"links": [["x", 4], 5]}, {0: [4], 1: []}, id="what-is-no-index-is-left-out"),
    ],
)
def test_the_links_of_a_finished_add_are_known(
    journal: Journal, answer: dict[str, Json], links: dict[int, list[int]]
) -> None:
    """By the number of the attachment, as the results are."""
    begun = record(journal, "c1")
    begun.finish(jsontext.dumps({"results": [{"a": 1}], "answer": {}, **answer}))
    assert records.known(begun, PLAN) == Known(results={0: {"a": 1}}, links=links)


@pytest.mark.parametrize(
    "answer", [b"no json", b'{"results":[],"links":5}', b'{"results":5}'], ids=["no-json", "links", "results"]
)
def test_an_answer_of_no_use_is_made_up_for_by_the_steps(journal: Journal, answer: bytes) -> None:
    """No link is known then: each delegate looks for itself (B18)."""
    begun = record(journal, "c1")
    begun.finish(answer)
    assert records.known(begun, PLAN) == Known(results={}, links={})


def test_of_an_add_that_did_not_finish_no_links_are_known(journal: Journal) -> None:
    """Only the results of its steps."""
    assert records.known(record(journal, "c1"), PLAN) == Known()


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
    """Open, for the block. Else plugins are told that there is none (B20); so they are where it cannot be told."""
    file = tmp_path / "ns"
    file.touch()
    stat = file.stat()

    def begun(name: str, boot: str, inode: int) -> Record:
        known = SandboxIdentity(boot_id=boot, netns_path=str(file), device=stat.st_dev, inode=inode)
        return journal.begin(ContainerId(name), b"{}", sandbox=known, durable=False)

    with records.standing(begun("stands", boot_id(), stat.st_ino)) as (path, netns):
        assert netns is not None
        assert (path, os.fstat(netns).st_ino) == (str(file), stat.st_ino)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(netns)
    damaged = begun("damaged", boot_id(), stat.st_ino)
    (damaged.path / "sandbox").write_bytes(b"x")
    for gone in (
        begun("another", boot_id(), stat.st_ino + 1),
        begun("earlier", "earlier", stat.st_ino),
        damaged,
    ):
        with records.standing(gone) as found:
            assert found == ("", None)
