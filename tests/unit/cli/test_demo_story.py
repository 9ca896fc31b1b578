# SPDX-License-Identifier: Apache-2.0
"""The demo's course and its last line, on a node of paper."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from metacni.cli import demo_story
from metacni.cli.command import CommandError
from metacni.cli.demo_node import DemoNode, DemoPod

ROOT = Path(__file__).parents[3]
ADDRESSES = {
    "left": {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"]},
    "right": {"eth0": ["10.88.0.3/24"], "net1": ["10.10.0.3/24"]},
}


class PaperNode(DemoNode):
    """A node that only writes down what it is told."""

    def __init__(self, *, deaf: str = "", broken: str = "", left: list[str] | None = None) -> None:
        self.pods = [DemoPod(name="left", annotations={}), DemoPod(name="right", annotations={})]
        self.done: list[str] = []
        self._deaf, self._broken, self._left = deaf, broken, left or []

    def start(self) -> None:
        """Note it."""
        self.note("start")

    def add(self, pod: DemoPod) -> None:
        """Note it."""
        self.note(f"add {pod.name}")

    def delete(self, pod: DemoPod) -> None:
        """Note it."""
        self.note(f"delete {pod.name}")

    def addresses(self, pod: DemoPod) -> dict[str, list[str]]:
        """Two networks."""
        return ADDRESSES[pod.name]

    def ping(self, pod: DemoPod, interface: str, address: str) -> bool:
        """Note it; one address does not answer."""
        self.note(f"ping {pod.name} {interface} {address}")
        return address != self._deaf

    def inventory(self) -> tuple[()]:
        """Paper keeps no journal."""
        return ()

    def leftovers(self) -> list[str]:
        """What the test says."""
        return self._left

    def stop(self) -> None:
        """Note it."""
        self.note("stop")

    def log(self) -> str:
        """The agent's last words, and the failure once more."""
        records = [
            {"level": "warning", "msg": "[bold]:cd:"},
            {"level": "error", "msg": f"ADD failed: {self._broken} failed"},
        ]
        return "\n".join(json.dumps(record) for record in records)

    def note(self, what: str) -> None:
        """Write it down, and fail if that is the broken part."""
        self.done.append(what)
        if what == self._broken:
            raise CommandError(f"{what} failed")


def play(node: PaperNode) -> tuple[int, str]:
    """The exit status, and what the console showed."""
    shown = io.StringIO()
    return demo_story.play(node, Console(file=shown, width=200, emoji=False, markup=False)), shown.getvalue()


def test_the_last_line_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    """It is what scripts look for, so it goes to stdout without style."""
    node = PaperNode()
    assert play(node)[0] == 0
    assert capsys.readouterr().out == "demo: ok, 2 pods, 4 interfaces, 0 leftovers\n"


def test_pods_ping_each_other_over_every_network_and_go_in_reverse() -> None:
    """From the interface that is on the same network."""
    node = PaperNode()
    play(node)
    assert node.done == [
        *("start", "add left", "add right"),
        *("ping left eth0 10.88.0.3", "ping left net1 10.10.0.3"),
        *("ping right eth0 10.88.0.2", "ping right net1 10.10.0.2"),
        *("delete right", "delete left", "stop"),
    ]


@pytest.mark.parametrize("broken", ["start", "add right", "delete left"])
def test_a_failure_ends_non_zero_with_the_reason_and_the_agents_log(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once, as they are; the agent is stopped all the same, and the good last line does not appear."""
    node = PaperNode(broken=broken)
    status, shown = play(node)
    assert status == 1
    assert shown.endswith(f"demo: failed: {broken} failed\n   the agent says: warning: [bold]:cd:\n")
    assert node.done[-1] == "stop"
    assert capsys.readouterr().out == ""


def test_a_network_without_an_answer_is_a_failure_that_names_it() -> None:
    """After all pings were tried."""
    node = PaperNode(deaf="10.10.0.3")
    status, shown = play(node)
    assert status == 1
    assert "demo: failed: no answer: left net1 → 10.10.0.3" in shown
    assert "ping right net1 10.10.0.2" in node.done


def test_leftovers_are_a_failure_and_listed() -> None:
    """Each of them."""
    status, shown = play(PaperNode(left=["/var/lib/cni/networks/lan/10.10.0.2"]))
    assert status == 1
    assert "left over: /var/lib/cni/networks/lan/10.10.0.2" in shown
    assert shown.endswith("demo: failed, 1 leftover\n")


def test_an_example_that_cannot_be_read_ends_the_demo_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback."""
    assert demo_story.main(str(tmp_path), str(tmp_path)) == 1
    assert capsys.readouterr().out.startswith(f"demo: failed: cannot use the example '{tmp_path}'")


def test_called_by_hand_it_refuses_to_touch_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `metacni demo` makes the namespaces it works in."""
    example = ROOT / "examples" / "demo"
    assert demo_story.main(str(example), "/none") == 1
    assert "call `metacni demo`" in capsys.readouterr().out


def test_pods_without_a_common_network_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One pod alone is an example too, and one interface is no plural."""
    node = PaperNode()
    node.pods = node.pods[:1]
    status, shown = play(node)
    assert status == 0
    assert "no two pods have a network in common" in shown
    assert "pod left: 2 interfaces in 0 ms" in shown
    assert capsys.readouterr().out == "demo: ok, 1 pod, 2 interfaces, 0 leftovers\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_its_agent_and_ends_with_130(number: int) -> None:
    """Ctrl-C, or kill: one line, no traceback."""
    script = (
        "import os, sys, io\n"
        "from rich.console import Console\n"
        "from metacni.cli import demo_story\n"
        "from tests.unit.cli.test_demo_story import PaperNode\n"
        "class Node(PaperNode):\n"
        f"    def start(self): os.kill(os.getpid(), {int(number)})\n"
        "    def stop(self): print('stopped')\n"
        "sys.exit(demo_story.guarded(Node, Console()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.splitlines()[-2:] == ["stopped", "demo: interrupted, and everything it made is gone"]
