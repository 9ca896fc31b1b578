# SPDX-License-Identifier: Apache-2.0
"""What the demo shows: a picture of pods on their networks, the result beside the kernel's own words, complaints. Pure.

Names and addresses come from examples and plugins, so they are never markup: `:cd:` in a MAC address is no emoji.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from metacni.cli.demo_node import DemoPod

Addresses = Mapping[str, Mapping[str, Sequence[str]]]
"""Pod name → interface name → addresses with prefix."""
LOG_LINES = 8
_GAP = 3  # between two boxes
_NOWHERE = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A network's line: each pod's (interface, address) on it; ("", "") where a pod has none."""

    subnet: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A pod's box."""

    heading: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(len(cell) + 1 for cell in (*self.cells, self.heading))


def count(number: int, thing: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def picture(pods: Sequence[DemoPod], addresses: Addresses, *, columns: int = 80) -> Text:
    """A box for each pod, a line through the boxes for each network; networks are told apart by their subnet.

    Pods that do not fit beside each other stand below each other.
    """
    rows = networks(pods, addresses)
    subnets = [row.subnet for row in rows]
    left = max((len(subnet) for subnet in subnets), default=0) + 6
    lines: list[str] = []
    for shown in _side_by_side(_columns(pods, rows, columns - left), columns - left):
        lines += _boxes(shown, subnets, left)
    return Text("\n".join(lines), no_wrap=True)


def _columns(pods: Sequence[DemoPod], rows: Sequence[Row], room: int) -> list[_Column]:
    return [
        _Column(
            heading=_short(f"pod {pod.name}", room - 3),
            cells=tuple(f" {interface} {address}".rstrip() for interface, address in (row.cells[i] for row in rows)),
        )
        for i, pod in enumerate(pods)
    ]


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"


def _side_by_side(boxes: Sequence[_Column], room: int) -> Iterator[list[_Column]]:
    """As many at a time as there is room for, and at least one."""
    shown: list[_Column] = []
    for one in boxes:
        if shown and sum(each.width + 2 + _GAP for each in (*shown, one)) - _GAP > room:
            yield shown
            shown = []
        shown.append(one)
    if shown:
        yield shown


def _boxes(shown: Sequence[_Column], subnets: Sequence[str], left: int) -> list[str]:
    margin, gap = " " * left, " " * _GAP
    lines = [
        margin + gap.join(f"{one.heading:^{one.width + 2}}" for one in shown),
        margin + gap.join("┌" + "─" * one.width + "┐" for one in shown),
    ]
    for i, subnet in enumerate(subnets):
        cells = "├───┤".join(one.cells[i].ljust(one.width) for one in shown)
        lines.append(f" {subnet:<{left - 5}}●───┤{cells}│")
    lines.append(margin + gap.join("└" + "─" * one.width + "┘" for one in shown))
    return [line.rstrip() for line in lines]


def networks(pods: Sequence[DemoPod], addresses: Addresses) -> list[Row]:
    """A row for each subnet, and one more for each further interface that a pod has on it."""
    rows: dict[str, list[list[tuple[str, str]]]] = {}
    for column, pod in enumerate(pods):
        for interface, found in addresses[pod.name].items():
            for text in found:
                lines = rows.setdefault(str(ip_interface(text).network), [])
                line = next((each for each in lines if each[column] == _NOWHERE), None)
                if line is None:
                    lines.append(line := [_NOWHERE] * len(pods))
                line[column] = (interface, str(ip_interface(text).ip))
    return [Row(subnet=subnet, cells=tuple(line)) for subnet, lines in rows.items() for line in lines]


def pings(source: Mapping[str, Sequence[str]], target: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(interface of the source, address of the target) for each address of the target on a subnet of the source."""
    ways: dict[str, str] = {}
    for interface, found in source.items():
        for text in found:
            ways.setdefault(str(ip_interface(text).network), interface)
    reached = [ip_interface(text) for found in target.values() for text in found]
    return [(ways[str(one.network)], str(one.ip)) for one in reached if str(one.network) in ways]


def result_table(pod: DemoPod, kernel: Mapping[str, Sequence[str]]) -> Table:
    """One row for each interface of the merged result; lean, so that 80 columns hold it, and nothing is cut."""
    table = Table(
        title=Text(f"pod {pod.name}", style="not italic"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("interface", "where", "MAC"):
        table.add_column(heading, no_wrap=True)
    for heading in ("in the result", "in the kernel"):
        table.add_column(heading, overflow="fold")
    interfaces: list[dict[str, Any]] = pod.result.get("interfaces", [])
    for index, one in enumerate(interfaces):
        told = [ip["address"] for ip in pod.result.get("ips", []) if ip.get("interface") == index]
        inside = bool(one.get("sandbox"))
        seen = kernel.get(one["name"], ()) if inside else ()
        row = (one["name"], "pod" if inside else "node", one.get("mac", ""), "\n".join(told), "\n".join(seen))
        table.add_row(*(Text(cell) for cell in row))
    return table


def complaints(log: str, told: str) -> list[str]:
    """What else the agent says about a failure: the last of its warnings, but for what is `told` already."""
    lines = dict.fromkeys(_complaint(line, told) for line in log.splitlines())
    return [line for line in lines if line][-LOG_LINES:]


def _complaint(line: str, told: str) -> str:
    try:
        record = json.loads(line)
        level, msg = record["level"], str(record["msg"])
    except (ValueError, LookupError, TypeError):  # not from its log: a traceback, or words before the log was set up
        return line.strip()
    said = msg.partition(" failed: ")[2]
    if level not in ("warning", "error", "critical") or (said and said in told):
        return ""
    cause = record.get("cause") or str(record.get("traceback") or "").strip().rpartition("\n")[2]
    return f"{level}: {msg}: {cause}" if cause else f"{level}: {msg}"
