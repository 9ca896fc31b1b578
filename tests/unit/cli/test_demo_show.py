# SPDX-License-Identifier: Apache-2.0
"""What the demo draws."""

import io

import pytest
from rich.console import Console

from metacni.cli import demo_show
from metacni.cli.demo_node import DemoPod
from metacni.cli.demo_show import Row

LEFT, RIGHT = DemoPod(name="left", annotations={}), DemoPod(name="right", annotations={})
ADDRESSES = {
    "left": {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"]},
    "right": {"eth0": ["10.88.0.3/24"], "office": []},
}


def test_the_picture_has_a_line_for_each_network_and_a_box_for_each_pod() -> None:
    """Every interface stands on its network's line, in its pod's box."""
    assert demo_show.picture([LEFT, RIGHT], ADDRESSES).plain.splitlines() == [
        "                       pod left            pod right",
        "                  ┌────────────────┐   ┌────────────────┐",
        " 10.88.0.0/24 ●───┤ eth0 10.88.0.2 ├───┤ eth0 10.88.0.3 │",
        " 10.10.0.0/24 ●───┤ net1 10.10.0.2 ├───┤                │",
        "                  └────────────────┘   └────────────────┘",
    ]


def test_a_box_is_as_wide_as_the_longest_of_its_lines() -> None:
    """A long pod name or interface name widens its own box only."""
    long = DemoPod(name="a-rather-long-name", annotations={})
    addresses = {"left": {"fifteen-letters": ["10.88.0.2/24"]}, "a-rather-long-name": {"eth0": ["10.88.0.3/24"]}}
    assert demo_show.picture([LEFT, long], addresses).plain.splitlines() == [
        "                            pod left               pod a-rather-long-name",
        "                  ┌───────────────────────────┐   ┌───────────────────────┐",
        " 10.88.0.0/24 ●───┤ fifteen-letters 10.88.0.2 ├───┤ eth0 10.88.0.3        │",
        "                  └───────────────────────────┘   └───────────────────────┘",
    ]


def test_what_does_not_fit_beside_stands_below_and_a_name_is_cut_rather_than_the_box() -> None:
    """No line is wider than the terminal, so none breaks."""
    long = DemoPod(name="x" * 60, annotations={})
    addresses = {"left": {"eth0": ["10.88.0.2/24"]}, long.name: {"eth0": ["10.88.0.3/24"]}}
    lines = demo_show.picture([LEFT, long], addresses, columns=60).plain.splitlines()
    assert [line.strip()[:12] for line in lines] == [
        *("pod left", "┌───────────", "10.88.0.0/24", "└───────────"),
        *("pod xxxxxxxx", "┌───────────", "10.88.0.0/24", "└───────────"),
    ]
    assert max(len(line) for line in lines) <= 60
    assert lines[4].endswith("x…")


def test_a_network_is_told_by_its_subnet() -> None:
    """A pod that is not attached has an empty place; a second interface on the same subnet has a line of its own."""
    addresses = {**ADDRESSES, "left": {**ADDRESSES["left"], "net2": ["10.88.0.4/24"]}}
    assert demo_show.networks([LEFT, RIGHT], addresses) == [
        Row(subnet="10.88.0.0/24", cells=(("eth0", "10.88.0.2"), ("eth0", "10.88.0.3"))),
        Row(subnet="10.88.0.0/24", cells=(("net2", "10.88.0.4"), ("", ""))),
        Row(subnet="10.10.0.0/24", cells=(("net1", "10.10.0.2"), ("", ""))),
    ]


def test_pings_go_where_both_have_an_address() -> None:
    """By subnet: the same network has another interface name in each pod."""
    source = {"eth0": ["10.88.0.2/24"], "office": ["10.10.0.2/24", "fd00::2/64"]}
    target = {"eth0": ["10.88.0.3/24"], "net1": ["10.20.0.3/24"], "net2": ["10.10.0.3/24", "fd00::3/64"]}
    assert demo_show.pings(source, target) == [("eth0", "10.88.0.3"), ("office", "10.10.0.3"), ("office", "fd00::3")]


@pytest.mark.parametrize(
    ("number", "told"),
    [pytest.param(0, "0 pods", id="0"), pytest.param(1, "1 pod", id="1"), pytest.param(2, "2 pods", id="2")],
)
def test_one_is_no_plural(number: int, told: str) -> None:
    """`1 pod`."""
    assert demo_show.count(number, "pod") == told


def test_the_agents_complaints_are_told_in_words_once_and_without_what_is_told_already() -> None:
    """Warnings and worse, and words that are no log line; the failure itself stands above them."""
    log = """\
{"level": "info", "msg": "serving"}
{"level": "warning", "msg": "undo failed", "cause": "no link"}
{"level": "warning", "msg": "undo failed", "cause": "no link"}
{"level": "error", "msg": "ADD failed: pod 'a': no", "code": 7}
{"level": "error", "msg": "bug", "traceback": "Traceback\\n  at x\\nKeyError: 1"}
metacni agent: cannot start
"""
    assert demo_show.complaints(log, told="ADD of pod a failed: pod 'a': no (try it)") == [
        *("warning: undo failed: no link", "error: bug: KeyError: 1", "metacni agent: cannot start")
    ]


def test_the_table_sets_the_result_beside_the_kernel() -> None:
    """Interfaces of the node are told apart from those of the pod; 80 columns hold all, and `:cd:` is no emoji."""
    pod = DemoPod(name="left", annotations={})
    pod.result = {
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:cd:00:01"},
            {"name": "fifteen-letters", "mac": "02:00:00:00:00:64", "sandbox": "/run/netns/left"},
        ],
        "ips": [{"address": "10.88.0.200/24", "interface": 1}, {"address": "fd00::2/64", "interface": 1}],
    }
    drawn = io.StringIO()
    console = Console(width=80, file=drawn)
    console.print(demo_show.result_table(pod, {"fifteen-letters": ["10.88.0.200/24", "fd00::2/64"]}))
    assert [line.rstrip() for line in drawn.getvalue().splitlines()] == [
        "pod left",
        "interface        where  MAC                in the result   in the kernel",
        "──────────────────────────────────────────────────────────────────────────",
        "cni0             node   02:00:00:cd:00:01",
        "fifteen-letters  pod    02:00:00:00:00:64  10.88.0.200/24  10.88.0.200/24",
        "                                           fd00::2/64      fd00::2/64",
    ]
