# SPDX-License-Identifier: Apache-2.0
"""The node's inventory, from records as they are met: finished, begun, gone, damaged, and DELs without a record."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from metacni.agent import inventory
from metacni.agent.inventory import Interface, Plugin, Sandbox, State
from metacni.cni.names import ContainerId
from metacni.exec.pending import Pending
from metacni.journal.journal import Journal
from metacni.journal.sandbox import SandboxIdentity, boot_id

RESULT = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}]}
ETH0 = Interface(
    ifname="eth0",
    network="pods",
    addresses=("10.1.0.2/24",),
    plugins=(Plugin(type="bridge", by="agent", why=""), Plugin(type="portmap", by="program", why="some reason")),
)


def plan(*, pod: str | None = "web-0") -> dict[str, Any]:
    """A plan as the journal holds it."""
    config = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}
    attachment = {
        "network": "pods",
        "ifname": "eth0",
        "config": config,
        "capabilityArgs": {},
        "cniArgs": "",
        "default": True,
        "defaultRoute": None,
        "owners": [{"by": "agent"}, {"by": "program", "why": "some reason"}],
    }
    return {
        "form": 1,
        "containerID": "c1",
        "netns": "/run/netns/p",
        "pod": None if pod is None else {"namespace": "shop", "name": pod, "uid": "", "static": False},
        "nodeNetwork": "node",
        "version": "1.0.0",
        "primaryOnly": False,
        "searchPath": [],
        "attachments": [attachment],
        "prevResult": None,
    }


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty one."""
    with closing(Journal(tmp_path / "state")) as made:
        yield made


def put(
    journal: Journal, netns: Path, *, name: str = "c1", body: Mapping[str, Any] | None = None, finish: bool = True
) -> None:
    """Record a sandbox whose namespace is this file."""
    status = netns.stat()
    identity = SandboxIdentity(
        boot_id=boot_id(), netns_path=str(netns), device=status.st_dev, inode=status.st_ino
    )  # fmt: skip
    text = json.dumps(plan() if body is None else body).encode()
    record = journal.begin(ContainerId(name), text, sandbox=identity, durable=False)
    if finish:
        record.finish(json.dumps({"results": [RESULT], "links": [[]], "answer": RESULT}).encode())


def take(journal: Journal, folder: Path) -> list[Sandbox]:
    """The inventory, with DELs that wait below this folder."""
    return list(inventory.take(journal, Pending(folder)))


def test_an_attached_sandbox_shows_addresses_owners_and_reasons(journal: Journal, tmp_path: Path) -> None:
    """All of it comes from the record."""
    put(journal, tmp_path)
    assert take(journal, tmp_path) == [
        Sandbox(container_id=ContainerId("c1"), pod="shop/web-0", state=State.ATTACHED, interfaces=(ETH0,))
    ]


def test_an_add_that_is_not_finished_has_no_addresses_yet(journal: Journal, tmp_path: Path) -> None:
    """It runs, or waits to be undone."""
    put(journal, tmp_path, finish=False)
    (found,) = take(journal, tmp_path)
    assert found.state is State.UNFINISHED
    assert [one.addresses for one in found.interfaces] == [()]


def test_a_sandbox_of_an_earlier_boot_is_gone(journal: Journal, tmp_path: Path) -> None:
    """It waits for the runtime, or for the agent's next start."""
    identity = SandboxIdentity(boot_id="another", netns_path=str(tmp_path), device=1, inode=2)
    record = journal.begin(ContainerId("c1"), json.dumps(plan()).encode(), sandbox=identity, durable=False)
    record.finish(b'{"results": [], "answer": {}}')
    assert [one.state for one in take(journal, tmp_path)] == [State.GONE]


def test_a_path_that_cannot_be_looked_at_is_no_sign_of_death(journal: Journal, tmp_path: Path) -> None:
    """A name too long for the kernel stands for every error but "it does not exist"."""
    identity = SandboxIdentity(boot_id=boot_id(), netns_path="/" + "x" * 5000, device=1, inode=2)
    record = journal.begin(ContainerId("c1"), json.dumps(plan()).encode(), sandbox=identity, durable=False)
    record.finish(b'{"results": [], "answer": {}}')
    assert [one.state for one in take(journal, tmp_path)] == [State.ATTACHED]


def test_a_damaged_record_is_a_line_with_its_problem(journal: Journal, tmp_path: Path) -> None:
    """Somebody looks here because of it."""
    put(journal, tmp_path, body={"form": 99})
    (found,) = take(journal, tmp_path)
    assert (found.state, found.pod, found.interfaces) == (State.DAMAGED, "", ())
    assert "form 99 is not 1" in found.problem


def test_a_record_that_is_damaged_in_part_still_shows_what_it_holds(journal: Journal, tmp_path: Path) -> None:
    """DEL needs the plan only."""
    put(journal, tmp_path)
    (tmp_path / "state/sandboxes/c1/sandbox").write_text("x")
    (found,) = take(journal, tmp_path)
    assert (found.state, found.pod, found.interfaces) == (State.DAMAGED, "shop/web-0", (ETH0,))
    assert "sandbox" in found.problem


def test_dels_that_wait_are_told_with_and_without_a_record(journal: Journal, tmp_path: Path) -> None:
    """One came while no agent lived; those without a pod come last."""
    put(journal, tmp_path)
    (tmp_path / "pending").mkdir()
    for name in ("c1", "c0"):
        (tmp_path / "pending" / name).write_bytes(b"x")
    assert [(one.container_id, one.state) for one in take(journal, tmp_path)] == [
        ("c1", State.DEL_WAITS),
        ("c0", State.DEL_WAITS),
    ]


def test_a_call_by_hand_has_no_pod(journal: Journal, tmp_path: Path) -> None:
    """It names none."""
    put(journal, tmp_path, body=plan(pod=None))
    assert [one.pod for one in take(journal, tmp_path)] == [""]


def test_nothing_is_changed(journal: Journal, tmp_path: Path) -> None:
    """It reads beside an agent that works."""
    put(journal, tmp_path)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "state").rglob("*"))
    take(journal, tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "state").rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
