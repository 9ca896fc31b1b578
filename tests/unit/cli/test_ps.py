# SPDX-License-Identifier: Apache-2.0
"""How `metacni ps` words what it finds; that it finds it is tests/unit/agent/test_inventory.py's."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from metacni.agent.inventory import Interface, Plugin, Sandbox, State
from metacni.cli import main, ps
from metacni.cni.names import ContainerId
from metacni.journal.journal import Journal


def sandbox(state: State = State.ATTACHED, *, network: str = "shop/lan", problem: str = "") -> Sandbox:
    """One with two interfaces, or damaged with none."""
    bridge = Plugin(type="bridge", by="agent", why="")
    tuning = Plugin(type="tuning", by="program", why="key 'x' (1) is not known")
    interfaces = (
        Interface(ifname="eth0", network="pods", addresses=("10.1.0.2/24", "fd01::2/64"), plugins=(bridge,)),
        Interface(ifname="net1", network=network, addresses=(), plugins=(bridge, tuning)),
    )
    return Sandbox(
        container_id=ContainerId("0123456789abcdef"),
        pod="shop/web-0",
        state=state,
        interfaces=() if problem else interfaces,
        problem=problem,
    )


def printed(*found: Sandbox, width: int = 200) -> list[str]:
    """What a terminal of this width shows, without the spaces at the end of a line."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(ps.shown(found, width))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_each_sandbox_is_a_line_with_its_interfaces_below() -> None:
    """Addresses side by side, and each plugin with whoever carried it out."""
    assert printed(sandbox()) == [
        "shop/web-0  0123456789ab  attached",
        "   eth0  pods      10.1.0.2/24 fd01::2/64  bridge: agent",
        "   net1  shop/lan  -                       bridge: agent, tuning: program",
    ]


def test_columns_are_the_same_for_all_sandboxes() -> None:
    """So that the eye finds an address."""
    first, second = (line for line in printed(sandbox(), sandbox(network="shop/a-longer-name")) if "eth0" in line)
    assert first == second


def test_a_terminal_of_80_columns_is_enough_for_what_is_usual() -> None:
    """Nothing is folded."""
    assert len(printed(sandbox(), width=80)) == 3


def test_in_a_narrow_terminal_nothing_is_cut() -> None:
    """What does not fit is folded; half an address would look like a whole one."""
    lines = printed(sandbox(), width=44)
    assert max(map(len, lines)) <= 44
    assert len(lines) > 3
    assert "".join(sorted("".join("".join(lines).split()))) == "".join(
        sorted("".join("".join(printed(sandbox())).split()))
    )


def test_names_are_never_markup() -> None:
    """A definition may be called what it likes."""
    assert "shop/[red]:cd:" in printed(sandbox(network="shop/[red]:cd:"))[2]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State.UNFINISHED, "its ADD runs, or waits to be undone by the runtime's DEL"),
        (State.GONE, "its namespace has gone"),
        (State.DEL_WAITS, "a DEL of it runs, or waits for an agent"),
    ],
)
def test_what_waits_is_told_in_words(state: State, told: str) -> None:
    """For whom, and what will happen."""
    first, *_ = ps.remarks([sandbox(state)])
    assert first.startswith(f"0123456789ab: {state}: {told}")


def test_a_damaged_record_is_told_with_its_problem() -> None:
    """The problem names the file."""
    (line,) = ps.remarks([sandbox(State.DAMAGED, problem="'plan': cut short")])
    assert line.endswith("and with today's definitions ('plan': cut short)")


def test_a_reason_is_told_once_for_a_network() -> None:
    """However many pods are on it; nothing else is said of what is simply attached."""
    assert ps.remarks([sandbox(), sandbox()]) == [
        "network 'shop/lan': tuning is left to a program: key 'x' (1) is not known"
    ]


def test_nothing_attached_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words for people, as an empty list for programs."""
    Journal(tmp_path).close()
    options = ["ps", "--state-dir", str(tmp_path), "--socket", str(tmp_path / "cni.sock")]
    assert main.main(options) == 0
    assert "no sandbox is attached" in capsys.readouterr().out
    assert main.main([*options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_node_without_a_journal_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Perhaps the folder is another one."""
    assert main.main(["ps", "--state-dir", str(tmp_path / "none")]) == 1
    assert "there is no journal in" in capsys.readouterr().err
