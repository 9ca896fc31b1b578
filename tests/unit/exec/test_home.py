# SPDX-License-Identifier: Apache-2.0
"""Where the runtime lives, kept for an agent that starts when it does not call."""

import os
import stat
from pathlib import Path

import pytest

from metacni.exec.frames import Call
from metacni.exec.home import Home

SYSTEM = "4:memory:/system.slice/containerd.service\n0::/system.slice/containerd.service\n"
JOINED = ["memory:/system.slice/containerd.service", ":/system.slice/containerd.service"]


def call(cgroup: str, program: str = "metacni") -> Call:
    """A call from these cgroups."""
    return Call(program=program, parent="containerd", environment={}, stdin=b"", cgroup=cgroup)


def known(home: Home) -> list[str]:
    """What would be joined now."""
    return [str(one) for one in home.cgroups()]


def test_nothing_is_known_at_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is said of it, or written."""
    assert known(Home(tmp_path)) == []
    assert (list(tmp_path.iterdir()), caplog.messages) == ([], [])


@pytest.mark.parametrize("program", ["metacni", "multus", "multus-shim"])
def test_the_next_agent_knows_what_the_last_call_told(tmp_path: Path, program: str) -> None:
    """In a private file, whole."""
    home = Home(tmp_path)
    home.remember(call("0::/elsewhere\n", program))
    home.remember(call(SYSTEM, program))
    assert known(home) == known(Home(tmp_path)) == JOINED
    assert [file.name for file in tmp_path.iterdir()] == ["cgroup"]
    assert stat.S_IMODE((tmp_path / "cgroup").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(call("0::/of/a/plugin\n", "metacni-bridge"), id="nested"),
        pytest.param(call("0::/of/somebody\n", "other"), id="not ours"),
        pytest.param(call(""), id="unknown"),
    ],
)
def test_only_a_runtime_that_knows_is_listened_to(tmp_path: Path, other: Call) -> None:
    """Whoever calls a plugin of ours may be anywhere, and a shim that cannot read its cgroup has not moved."""
    home = Home(tmp_path)
    home.remember(call(SYSTEM))
    home.remember(other)
    assert known(home) == known(Home(tmp_path)) == JOINED


def test_it_is_written_only_when_it_changes(tmp_path: Path) -> None:
    """A call costs a comparison."""
    home = Home(tmp_path)
    home.remember(call(SYSTEM))
    before = (tmp_path / "cgroup").stat().st_ino  # each write makes a new file
    home.remember(call(SYSTEM))
    Home(tmp_path).remember(call(SYSTEM))
    assert (tmp_path / "cgroup").stat().st_ino == before
    home.remember(call("0::/\n"))
    assert (tmp_path / "cgroup").read_text() == "0::/\n"


def test_bytes_come_back_as_they_were(tmp_path: Path) -> None:
    """A cgroup's name need not be text."""
    Home(tmp_path).remember(call("0::/\udce9\n"))
    assert (tmp_path / "cgroup").read_bytes() == b"0::/\xe9\n"
    assert known(Home(tmp_path)) == [":/\udce9"]


def test_a_cgroup_outside_the_namespace_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others are joined."""
    home = Home(tmp_path)
    for _ in range(2):
        home.remember(call("4:memory:/../a\n0::/b\n"))
    assert known(home) == [":/b"]
    assert [record.cgroups for record in caplog.records] == [["4:memory:/../a"]]  # type: ignore[attr-defined]


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """This agent knows all the same; a file of before stays whole."""
    home = Home(tmp_path)
    home.remember(call(SYSTEM))
    (tmp_path / ".cgroup").mkdir()
    for _ in range(2):
        home.remember(call("0::/b\n"))
    assert known(home) == [":/b"]
    assert caplog.messages == ["the next agent will not know the runtime's cgroup"]
    assert known(Home(tmp_path)) == JOINED


@pytest.mark.parametrize("what", ["link", "folder", "fifo", "empty", "bytes", "long"])
def test_a_file_that_is_not_ours_is_as_good_as_none(tmp_path: Path, what: str) -> None:
    """It neither hangs nor ends the agent's start, and the next call repairs it."""
    file = tmp_path / "cgroup"
    if what == "link":
        (tmp_path / "other").write_text(SYSTEM)
        file.symlink_to("other")
    elif what == "folder":
        file.mkdir()
    elif what == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes({"empty": b"", "bytes": bytes(range(256)), "long": b"x" * 100_000}[what])
    home = Home(tmp_path)
    assert known(home) == []
    home.remember(call(SYSTEM))
    assert known(home) == JOINED
    if what != "folder":
        assert known(Home(tmp_path)) == JOINED


def test_what_was_left_half_written_is_overwritten_and_no_link_is_followed(tmp_path: Path) -> None:
    """By an agent that was killed, or by somebody who would lead root's writes elsewhere."""
    (tmp_path / ".cgroup").write_text("4:memory:/half")
    Home(tmp_path).remember(call(SYSTEM))
    assert (tmp_path / "cgroup").read_text() == SYSTEM
    (tmp_path / ".cgroup").symlink_to("precious")
    Home(tmp_path).remember(call("0::/b\n"))
    assert not (tmp_path / "precious").exists()
