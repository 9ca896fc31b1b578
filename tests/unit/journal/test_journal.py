# SPDX-License-Identifier: Apache-2.0
"""The journal: one record a sandbox, whole or absent at every instant."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metacni.cni.names import ContainerId
from metacni.journal.journal import CorruptRecord, Journal, SandboxIdentity

SANDBOX = SandboxIdentity(boot_id="boot", netns_path="/run/netns/p1", device=4, inode=4026532000)
POD = ContainerId("pod1")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "lib" / "metacni"


@pytest.fixture
def journal(state: Path) -> Iterator[Journal]:
    """A journal of its own."""
    opened = Journal(state)
    yield opened
    opened.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_record_is_one_private_folder(journal: Journal, state: Path, durable: bool) -> None:  # noqa: FBT001
    """`ls` is the debugger: a folder named by the container ID, with mode 0700, and two files, 0600 (B28, B32)."""
    journal.begin(POD, b"plan", sandbox=SANDBOX, durable=durable)
    folder = state / "sandboxes" / "pod1"
    assert [path.name for path in folder.parent.iterdir()] == ["pod1"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"pod1": 0o700, "plan": 0o600, "sandbox": 0o600}


def test_a_second_plan_for_a_sandbox_is_refused(journal: Journal) -> None:
    """The first stays as it was, and nothing of the second is left."""
    record = journal.begin(POD, b"first", sandbox=SANDBOX, durable=False)
    with pytest.raises(FileExistsError, match=re.escape(str(record.path))):
        journal.begin(POD, b"second", sandbox=SANDBOX, durable=False)
    assert record.plan == b"first"
    assert [path.name for path in record.path.parent.iterdir()] == ["pod1"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="parent"),
        pytest.param(".hidden", id="dot-first"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\n", id="line-end"),
        pytest.param("a" * 201, id="long"),
    ],
)
def test_only_container_ids_name_records(journal: Journal, name: str) -> None:
    """The type says so, and a path is still never built from anything else."""
    for call in (journal.open, journal.remove):
        with pytest.raises(ValueError, match="as the name of a record"):
            call(ContainerId(name))


def test_an_unknown_sandbox_is_none(journal: Journal) -> None:
    """DEL of what was never added, or is gone already."""
    assert journal.open(POD) is None
    journal.remove(POD)


def _symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _file(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.touch()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_symlink, id="symlink"),
        pytest.param(_file, id="file"),
        pytest.param(lambda path: path.chmod(0o755), id="open-to-others"),
    ],
)
def test_a_damaged_record_is_named_listed_and_removable(journal: Journal, damage: Callable[[Path], None]) -> None:
    """It is seen (`sandboxes`), not trusted (`open`, `begin`), and can be taken away unread (B18)."""
    path = journal.begin(POD, b"plan", sandbox=SANDBOX, durable=False).path
    damage(path)
    with pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(path)!r}")):
        journal.open(POD)
    assert POD in journal.sandboxes()
    with pytest.raises((CorruptRecord, FileExistsError)):
        journal.begin(POD, b"again", sandbox=SANDBOX, durable=False)
    journal.remove(POD)
    assert POD not in journal.sandboxes()


def test_sandboxes_are_listed_by_name_and_nothing_else_is(journal: Journal, state: Path) -> None:
    """Unfinished and foreign things are no sandboxes."""
    for name in ("b", "a", "c.d_e-f"):
        journal.begin(ContainerId(name), b"plan", sandbox=SANDBOX, durable=False)
    (state / "sandboxes" / ".new-0").mkdir()
    (state / "sandboxes" / "lost+found").mkdir()
    assert journal.sandboxes() == ("a", "b", "c.d_e-f")


def test_unsent_statuses_are_found_after_a_restart(journal: Journal, state: Path) -> None:
    """A new agent learns what the old one did not get rid of; what cannot be read does not keep it from the rest."""
    for name in ("sent", "unsent", "silent", "damaged"):
        record = journal.begin(ContainerId(name), b"plan", sandbox=SANDBOX, durable=False)
        if name != "silent":
            record.publish(name.encode())
        if name == "sent":
            record.published()
    (state / "sandboxes" / "damaged" / "unsent").write_bytes(b"")
    (state / "sandboxes" / "link").symlink_to("unsent")
    journal.close()
    restarted = Journal(state)
    assert [(record.container_id, text) for record, text in restarted.unsent_all()] == [("unsent", b"unsent")]
    restarted.close()


def test_a_start_cleans_up_after_dead_writers(journal: Journal, state: Path) -> None:
    """Unfinished records, half deleted ones and unfinished files are of no meaning once their writer is dead."""
    record = journal.begin(POD, b"plan", sandbox=SANDBOX, durable=False)
    journal.close()
    for name in (".new-1", ".gone-2"):
        (state / "sandboxes" / name).mkdir(mode=0o700)
        (state / "sandboxes" / name / "plan").touch()
    (record.path / ".tmp-3").touch()
    Journal(state).close()
    assert sorted(str(path.relative_to(state)) for path in state.rglob("*")) == [
        "sandboxes",
        "sandboxes/pod1",
        "sandboxes/pod1/plan",
        "sandboxes/pod1/sandbox",
    ]


def test_a_start_is_not_stopped_by_a_damaged_record(journal: Journal, state: Path) -> None:
    """The agent must come up; whoever needs that sandbox is told."""
    _symlink(journal.begin(POD, b"plan", sandbox=SANDBOX, durable=False).path)
    journal.close()
    restarted = Journal(state)
    assert restarted.sandboxes() == ("elsewhere", "pod1")
    restarted.close()


def test_two_writers_are_refused(journal: Journal, state: Path) -> None:
    """The second would clean up under the first; it may look on, and take over when the first is gone."""
    with pytest.raises(BlockingIOError, match=re.escape(str(state / "sandboxes"))):
        Journal(state)
    journal.begin(POD, b"plan", sandbox=SANDBOX, durable=False)
    onlooker = Journal(state, read_only=True)
    assert onlooker.sandboxes() == ("pod1",)
    onlooker.close()
    journal.close()
    Journal(state).close()


def test_an_onlooker_makes_nothing(state: Path) -> None:
    """`metacni ps` on a node where no agent has run reports that, and leaves no trace."""
    with pytest.raises(FileNotFoundError):
        Journal(state, read_only=True)
    assert not state.exists()


@pytest.mark.parametrize(
    "damage",
    [pytest.param(_symlink, id="symlink"), pytest.param(lambda path: path.chmod(0o755), id="open-to-others")],
)
def test_a_folder_that_is_not_ours_alone_is_refused(state: Path, damage: Callable[[Path], None]) -> None:
    """Whoever can write there could make us undo anything: the agent does not start."""
    Journal(state).close()
    damage(state / "sandboxes")
    with pytest.raises(CorruptRecord, match=re.escape(f"cannot trust {str(state / 'sandboxes')!r}")):
        Journal(state)


def test_a_writable_journal_says_nothing_and_leaves_nothing(journal: Journal, state: Path) -> None:
    """STATUS asks this every few seconds."""
    assert journal.writable() is None
    assert list((state / "sandboxes").iterdir()) == []


def test_a_journal_whose_folder_is_gone_says_so(journal: Journal, state: Path) -> None:
    """The fault is words for an error message, with the folder in it."""
    (state / "sandboxes").rmdir()
    assert journal.writable() == f"{str(state / 'sandboxes')!r}: no such file or directory"


def test_no_instant_of_a_writer_is_fatal(state: Path) -> None:
    """After each of many kill -9 at random moments the journal opens, and every record in it is whole."""
    program = Path(__file__).with_name("kill_writers.py")
    done = subprocess.run(
        [sys.executable, program, state, "250"],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["kills"] == 250
    assert seen["leftovers"] > 0, "no kill hit a write: the test proves nothing"
    assert seen["unfinished"] > 0
    assert seen["finished"] > 0
