# SPDX-License-Identifier: Apache-2.0
"""What a new agent takes over."""

import hashlib
import json
import logging
from pathlib import Path

import pytest

from metacni.agent.add import add
from metacni.agent.delete import delete
from metacni.agent.recover import finish, recover, vanished
from metacni.exec.channel import ShimGone
from metacni.exec.executor import Unavailable
from metacni.exec.frames import Type, pack
from metacni.exec.outcome import Output
from metacni.exec.pending import Pending
from tests.unit.agent.delegates import FakeDelegate
from tests.unit.agent.fakes import DONE, Bench, failure, node_config
from tests.unit.agent.shim_end import VARIABLES


def recorded_del(folder: Path, container: str) -> Path:
    """What a shim leaves when no agent answers."""
    (folder / "pending").mkdir(exist_ok=True)
    file = folder / "pending" / container
    variables = {**VARIABLES, "CNI_COMMAND": "DEL", "CNI_CONTAINERID": container, "CNI_NETNS": str(folder / "netns")}
    pairs = (f"{key}={value}".encode() for key, value in variables.items())
    stdin = json.dumps(node_config()).encode()
    file.write_bytes(pack(Type.CALL, 0, b"\0", b"metacni", b"containerd", stdin, *pairs))
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


def taken_over(bench: Bench) -> None:
    """What an agent does at its start, all of it."""
    pending = Pending(bench.folder)
    finish(bench.node, pending, recover(bench.node, pending))


def unfinished(bench: Bench) -> None:
    """Leave what an agent leaves that was killed in an ADD."""
    add(bench.node, bench.request("ADD"))
    (bench.record() / "answer").unlink()
    bench.runner.forget()


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "damaged"])
def test_a_recorded_del_of_a_sandbox_with_a_record_is_carried_out(bench: Bench, *, readable: bool) -> None:
    """By the executor; what is recorded need not even be readable, for its name says whose it is."""
    add(bench.node, bench.request("ADD"))
    file = recorded_del(bench.folder, "c1")
    if not readable:
        file.write_bytes(b"cut")
    taken_over(bench)
    assert bench.runner.calls[-1] == ("DEL", "bridge", "eth0")
    assert bench.runner.executions[-1].environment["CNI_NETNS"] == bench.path
    assert (bench.files(), file.exists()) == ([], False)


def test_a_recorded_del_helps_where_the_journal_is_damaged(bench: Bench) -> None:
    """What the runtime had handed over says what to delete (B18)."""
    add(bench.node, bench.request("ADD"))
    bench.damage("plan")
    recorded_del(bench.folder, "c1")
    taken_over(bench)
    assert bench.runner.calls[-1] == ("DEL", "bridge", "eth0")
    assert bench.files() == []


def test_an_unfinished_add_is_undone_although_its_sandbox_stands(bench: Bench) -> None:
    """The runtime has got an error for it and will DEL; that one finds nothing any more."""
    unfinished(bench)
    taken_over(bench)
    assert bench.runner.calls == [("DEL", "bridge", "eth0")]
    assert bench.runner.executions[0].environment["CNI_NETNS"] == bench.path
    assert bench.files() == []


@pytest.mark.parametrize("how", ["namespace", "boot"])
def test_a_sandbox_that_is_gone_is_taken_down_without_its_namespace(bench: Bench, how: str) -> None:
    """Its path leads nowhere, or to another sandbox of this boot."""
    add(bench.node, bench.request("ADD"))
    if how == "namespace":
        (bench.folder / "netns").unlink()
    else:
        earlier = json.loads((bench.record() / "sandbox").read_bytes().partition(b"\n")[2]) | {"boot_id": "earlier"}
        body = json.dumps(earlier).encode()
        (bench.record() / "sandbox").write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    taken_over(bench)
    assert bench.runner.calls[-1] == ("DEL", "bridge", "eth0")
    assert bench.runner.executions[-1].environment["CNI_NETNS"] == ""
    assert bench.files() == []


def test_a_finished_record_of_a_living_sandbox_is_left_alone(bench: Bench) -> None:
    """So is one of which it cannot be told."""
    add(bench.node, bench.request("ADD"))
    add(bench.node, bench.request("ADD", container="c2"))
    bench.damage("sandbox", "c2")
    taken_over(bench)
    assert [verb for verb, _, _ in bench.runner.calls] == ["ADD", "ADD"]
    assert bench.executor.started == 0


def test_what_a_call_did_meanwhile_is_not_done_again(bench: Bench) -> None:
    """The runtime's DEL came first, and it has even attached the sandbox again."""
    unfinished(bench)
    pending = Pending(bench.folder)
    due = recover(bench.node, pending)
    delete(bench.node, bench.request("DEL"))
    add(bench.node, bench.request("ADD"))
    finish(bench.node, pending, due)
    assert "answer" in bench.files()
    delete(bench.node, bench.request("DEL"))
    finish(bench.node, pending, due)
    assert [verb for verb, _, _ in bench.runner.calls] == ["DEL", "ADD", "DEL"]


@pytest.mark.parametrize(
    "trouble", [failure(999, "busy"), ShimGone("died"), ValueError("ours")], ids=["plugin", "executor", "unforeseen"]
)
def test_what_fails_is_kept_and_told_and_holds_nothing_up(
    bench: Bench, caplog: pytest.LogCaptureFixture, trouble: Output | Exception
) -> None:
    """The runtime's next call does it again; the sandbox after it has its turn."""
    unfinished(bench)
    add(bench.node, bench.request("ADD", container="c2"))
    (bench.record("c2") / "answer").unlink()
    bench.runner.script("bridge", "DEL", trouble, DONE)
    taken_over(bench)
    assert ("plan" in bench.files(), bench.files("c2")) == (True, [])
    assert {one.sandbox for one in caplog.records if one.levelno >= logging.WARNING} == {"c1"}  # type: ignore[attr-defined]


def test_without_an_executor_everything_waits_for_the_runtime(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what waits and why; nothing is lost."""
    unfinished(bench)
    add(bench.node, bench.request("ADD", container="c2"))
    file = recorded_del(bench.folder, "c2")
    bench.executor.fault = Unavailable("it is told so")
    taken_over(bench)
    assert ("plan" in bench.files(), "plan" in bench.files("c2"), file.exists()) == (True, True, True)
    told = [(one.getMessage().partition(";")[0], getattr(one, "sandbox", "")) for one in caplog.records]
    assert told == [
        ("no executor", ""),
        ("a DEL came while no agent lived", "c2"),
        ("an ADD was not finished, or its sandbox has gone", "c1"),
    ]


def test_nothing_left_is_nothing_to_do(bench: Bench) -> None:
    """A fresh node."""
    recover(bench.node, Pending(bench.folder))
    assert bench.publisher.statuses == []


@pytest.mark.parametrize("stands", [True, False], ids=["stands", "gone"])
def test_a_delegate_takes_over_what_a_delegate_left(bench: Bench, *, stands: bool) -> None:
    """With the namespace, opened anew, while it stands; the executor is there for programs only."""
    bridge = FakeDelegate("bridge")
    bench.load(bridge)
    unfinished(bench)
    if not stands:
        (bench.folder / "netns").unlink()
    taken_over(bench)
    assert (bridge.calls, bench.runner.calls) == ([("ADD", "eth0"), ("DEL", "eth0")], [])
    assert (bridge.served[1].pod is not None, bridge.served[1].variables["CNI_NETNS"]) == (
        stands,
        bench.path if stands else "",
    )
    assert bench.files() == []


def test_only_what_is_attached_and_proven_to_have_gone_has_vanished(bench: Bench) -> None:
    """An unfinished record may be an ADD that runs; what cannot be read is nobody's to take down."""
    for name in ("c1", "c2", "c3", "c4"):
        add(bench.node, bench.request("ADD", container=name))
    assert vanished(bench.node) == {}
    (bench.record("c2") / "answer").unlink()
    (bench.record("c3") / "sandbox").write_text("x")
    identity = json.loads((bench.record("c4") / "sandbox").read_text().partition("\n")[2]) | {"boot_id": "another"}
    content = json.dumps(identity)
    (bench.record("c4") / "sandbox").write_text(f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}")
    assert vanished(bench.node) == {"c4": None}
    finish(bench.node, Pending(bench.folder), vanished(bench.node))
    assert bench.files("c4") == []
    assert "answer" in bench.files("c1")
