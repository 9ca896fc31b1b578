# SPDX-License-Identifier: Apache-2.0
"""What the demo draws."""

import io

from rich.console import Console

from metacni.cli import demo_show
from metacni.cli.demo_node import DemoPod

LEFT, RIGHT = DemoPod(name="left", annotations={}), DemoPod(name="right", annotations={})
ADDRESSES = {
    "left": {"eth0": ["10.88.0.2/24"], "net1": ["10.10.0.2/24"]},
    "right": {"eth0": ["10.88.0.3/24"], "office": []},
}


def test_the_picture_has_a_line_for_each_network_and_a_box_for_each_pod() -> None:
    """Every interface stands on its network's line, in its pod's box."""
    assert demo_show.picture([LEFT, RIGHT], ADDRESSES).plain.splitlines() == [
        "                       pod left            pod right     ",
        "                  ┌────────────────┐   ┌────────────────┐",
        " 10.88.0.0/24 ●───┤ eth0 10.88.0.2 ├───┤ eth0 10.88.0.3 │",
        " 10.10.0.0/24 ●───┤ net1 10.10.0.2 ├───┤                │",
        "                  └────────────────┘   └────────────────┘",
    ]


def test_a_network_is_told_by_its_subnet() -> None:
    """A pod that is not attached has an empty place."""
    assert demo_show.networks([LEFT, RIGHT], ADDRESSES) == {
        "10.88.0.0/24": [("eth0", "10.88.0.2"), ("eth0", "10.88.0.3")],
        "10.10.0.0/24": [("net1", "10.10.0.2"), ("", "")],
    }


def test_the_table_sets_the_result_beside_the_kernel() -> None:
    """Interfaces of the node are told apart from those of the pod."""
    pod = DemoPod(name="left", annotations={})
    pod.result = {
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "mac": "", "sandbox": "/run/netns/left"},
        ],
        "ips": [{"address": "10.88.0.2/24", "interface": 1}],
    }
    drawn = io.StringIO()
    console = Console(width=120, file=drawn)
    console.print(demo_show.result_table(pod, {"eth0": ["10.88.0.2/24"]}))
    rows = [line for line in drawn.getvalue().splitlines() if "│" in line]
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["cni0", "node", "02:00:00:00:00:01", "", ""],
        ["eth0", "pod", "", "10.88.0.2/24", "10.88.0.2/24"],
    ]
