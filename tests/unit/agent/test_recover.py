# SPDX-License-Identifier: Apache-2.0
"""What a new agent takes over."""

import json
from pathlib import Path

import pytest

from metacni.agent.add import add
from metacni.agent.delete import delete
from metacni.agent.recover import recover
from metacni.exec.frames import Type, pack
from metacni.exec.pending import Pending
from tests.unit.agent.fakes import Bench


def recorded_del(folder: Path, container: str) -> Path:
    """What a shim leaves when no agent answers."""
    (folder / "pending").mkdir(exist_ok=True)
    file = folder / "pending" / container
    file.write_bytes(pack(Type.CALL, 0, b"\0", b"metacni", b"containerd", b"{}", b"CNI_COMMAND=DEL"))
    return file


def test_a_status_that_was_not_written_is_sent_again_until_it_is(bench: Bench) -> None:
    """Across restarts (decision 11); once written it is not sent a third time."""
    add(bench.node, bench.request("ADD"))
    first = bench.publisher.statuses.pop()
    recover(bench.node, Pending(bench.folder))
    ((pod, text, done),) = bench.publisher.statuses
    assert (pod, text) == first[:2]
    assert json.loads(text)[0]["interface"] == "eth0"
    done()
    assert "published" in bench.files()
    bench.publisher.statuses.clear()
    recover(bench.node, Pending(bench.folder))
    assert bench.publisher.statuses == []


def test_a_status_that_is_written_after_the_sandbox_went_leaves_nothing(bench: Bench) -> None:
    """The publisher's thread may be late."""
    add(bench.node, bench.request("ADD"))
    recover(bench.node, Pending(bench.folder))
    delete(bench.node, bench.request("DEL"))
    bench.publisher.statuses[-1][2]()
    assert bench.files() == []


@pytest.mark.parametrize("how", ["plan", "unsent", "mode", "link"])
def test_a_record_that_cannot_be_read_does_not_keep_the_agent_from_starting(bench: Bench, how: str) -> None:
    """One damaged record costs one status, not the node."""
    add(bench.node, bench.request("ADD"))
    add(bench.node, bench.request("ADD", container="c2"))
    bench.publisher.statuses.clear()
    if how in ("plan", "unsent"):
        bench.damage(how)
    elif how == "mode":
        bench.record().chmod(0o755)
    else:
        bench.record().rename(bench.folder / "moved")
        bench.record().symlink_to(bench.folder / "moved")
    recover(bench.node, Pending(bench.folder))
    assert len(bench.publisher.statuses) == 1


def test_a_recorded_del_of_a_sandbox_without_a_record_is_done(bench: Bench) -> None:
    """There is nothing to delete; one that is damaged, too, for its name says whose it is."""
    files = [recorded_del(bench.folder, "c1"), recorded_del(bench.folder, "c2")]
    files[1].write_bytes(b"cut")
    recover(bench.node, Pending(bench.folder))
    assert [file.exists() for file in files] == [False, False]


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "damaged"])
def test_a_recorded_del_of_a_sandbox_with_a_record_waits(
    bench: Bench, caplog: pytest.LogCaptureFixture, *, readable: bool
) -> None:
    """Its plugins need a shim; the log says which sandbox waits."""
    add(bench.node, bench.request("ADD"))
    if not readable:
        bench.record().chmod(0o755)
    file = recorded_del(bench.folder, "c1")
    recover(bench.node, Pending(bench.folder))
    assert file.exists()
    assert "waits for the runtime's next call" in caplog.text


def test_nothing_left_is_nothing_to_do(bench: Bench) -> None:
    """A fresh node."""
    recover(bench.node, Pending(bench.folder))
    assert bench.publisher.statuses == []
