# SPDX-License-Identifier: Apache-2.0
"""What the demo shows: a picture of pods on their networks, and the result beside the kernel's own words. Pure."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_interface
from typing import Any

from rich.table import Table
from rich.text import Text

from metacni.cli.demo_node import DemoPod

Addresses = Mapping[str, Mapping[str, Sequence[str]]]
"""Pod name → interface name → addresses with prefix."""


def picture(pods: Sequence[DemoPod], addresses: Addresses) -> Text:
    """A box for each pod, a line through the boxes for each network; networks are told apart by their subnet."""
    rows = networks(pods, addresses)
    cells = [[f" {interface} {address}" for interface, address in row] for row in rows.values()]
    width = max((len(cell) for row in cells for cell in row), default=0) + 1
    left = max((len(name) for name in rows), default=0) + 1
    lines = [" " * (left + 5) + "   ".join(f"{'pod ' + pod.name:^{width + 2}}" for pod in pods)]
    lines.append(" " * (left + 5) + "   ".join("┌" + "─" * width + "┐" for _ in pods))
    for name, row in zip(rows, cells, strict=True):
        lines.append(f" {name:<{left}}●───┤" + "├───┤".join(cell.ljust(width) for cell in row) + "│")
    lines.append(" " * (left + 5) + "   ".join("└" + "─" * width + "┘" for _ in pods))
    return Text("\n".join(lines), no_wrap=True)


def networks(pods: Sequence[DemoPod], addresses: Addresses) -> dict[str, list[tuple[str, str]]]:
    """Subnet → each pod's (interface, address) there; a pod that is not attached to it has ("", "")."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for column, pod in enumerate(pods):
        for interface, found in addresses[pod.name].items():
            for text in found:
                row = rows.setdefault(str(ip_interface(text).network), [("", "")] * len(pods))
                row[column] = (interface, str(ip_interface(text).ip))
    return rows


def result_table(pod: DemoPod, kernel: Mapping[str, Sequence[str]]) -> Table:
    """One row for each interface of the merged result."""
    table = Table(title=f"pod {pod.name}", title_justify="left", title_style="")
    for heading in ("interface", "where", "MAC", "in the result", "in the kernel"):
        table.add_column(heading, no_wrap=True)
    interfaces: list[dict[str, Any]] = pod.result.get("interfaces", [])
    for index, one in enumerate(interfaces):
        told = [ip["address"] for ip in pod.result.get("ips", []) if ip.get("interface") == index]
        inside = bool(one.get("sandbox"))
        seen = kernel.get(one["name"], ()) if inside else ()
        table.add_row(one["name"], "pod" if inside else "node", one.get("mac", ""), " ".join(told), " ".join(seen))
    return table
