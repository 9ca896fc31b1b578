# SPDX-License-Identifier: Apache-2.0
"""`metacni ps`: what is attached on this node, which code attached it, and what waits for whom.

Looks at the journal beside a running agent, and changes nothing. Names come from users, so they are never markup.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from metacni.agent import inventory
from metacni.agent.inventory import Interface, Plugin, Sandbox, State
from metacni.cli.agent import socket_path
from metacni.cli.command import CommandError
from metacni.exec.pending import Pending
from metacni.journal.files import CorruptRecord
from metacni.journal.journal import Journal

ID_SHOWN = 12
"""Characters of a container ID, as other tools show it."""

WIDE = 1000
"""Columns where nobody looks: a program, or a file, gets one line for each interface."""

_COLUMNS = 4  # interface, network, addresses, attached by
_GAP = 2
_INDENT = 3
_WAITS = {
    State.UNFINISHED: "its ADD runs, or waits to be undone by the runtime's DEL",
    State.GONE: "its namespace has gone; waits for the runtime's DEL or GC, or for the agent's next look",
    State.DEL_WAITS: "a DEL of it runs, or waits for an agent",
    State.DAMAGED: "its record is damaged; DEL will do with what can be read of it, and with today's definitions",
}


def run(options: argparse.Namespace) -> int:
    """Print it; nothing attached is no error."""
    found = inventory.take(_journal(options.state_dir), Pending(socket_path(options).parent))
    if options.json:
        json.dump([asdict(one) for one in found], sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    if not found:
        console.print(Text(f"no sandbox is attached (journal: {options.state_dir})"))
        return 0
    console.print(shown(found, console.width))
    for line in remarks(found):
        console.print(Text(line))
    return 0


def _journal(folder: Path) -> Journal:
    try:
        return Journal(folder, read_only=True)
    except FileNotFoundError:
        raise CommandError(f"there is no journal in {str(folder)!r}: has an agent ever run with it?") from None
    except (OSError, CorruptRecord) as cause:
        raise CommandError(f"cannot read the journal in {str(folder)!r}: {cause}") from cause


def shown(found: Sequence[Sandbox], columns: int) -> Group:
    """A line for each sandbox, and below it one for each interface, in columns that are the same for all.

    Where a terminal has fewer, cells are folded rather than cut: half an address looks like a whole one.
    """
    cells = {one.container_id: [_cells(each) for each in one.interfaces] for one in found}
    widths = [max((len(row[at]) for rows in cells.values() for row in rows), default=0) for at in range(_COLUMNS)]
    if sum(widths) + _COLUMNS * _GAP + _INDENT > columns:
        widths = [0] * _COLUMNS
    return Group(*(part for one in found for part in (_heading(one), _table(cells[one.container_id], widths))))


def remarks(found: Sequence[Sandbox]) -> list[str]:
    """What the table leaves open: what a state means for whoever waits, and why a program did it."""
    lines = [
        f"{one.container_id[:ID_SHOWN]}: {one.state}: {_WAITS[one.state]}{f' ({one.problem})' if one.problem else ''}"
        for one in found
        if one.state in _WAITS
    ]
    reasons = {
        (each.network, plugin.type, plugin.why): None
        for one in found
        for each in one.interfaces
        for plugin in each.plugins
        if plugin.why
    }
    return lines + [f"network {network!r}: {kind} is left to a program: {why}" for network, kind, why in reasons]


def _heading(one: Sandbox) -> Text:
    return Text.assemble((one.pod or "no pod", "bold"), f"  {one.container_id[:ID_SHOWN]}  {one.state}")


def _table(rows: Sequence[tuple[str, ...]], widths: Sequence[int]) -> Padding:
    made = Table.grid(padding=(0, _GAP, 0, 0))
    for width in widths:
        made.add_column(min_width=width, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return Padding.indent(made, _INDENT)


def _cells(each: Interface) -> tuple[str, ...]:
    return each.ifname, each.network, " ".join(each.addresses) or "-", ", ".join(map(_one, each.plugins))


def _one(plugin: Plugin) -> str:
    return f"{plugin.type}: {plugin.by}"
