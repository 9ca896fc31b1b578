# SPDX-License-Identifier: Apache-2.0
"""`metacni demo`: the main job with no cluster, on a node of its own.

The node is a pair of fresh namespaces (network and mounts) that `unshare` makes and that vanish with it: the demo has
its own interfaces, its own /run and its own /var/lib/cni, so it can neither touch nor meet what belongs to the
machine or to an agent that runs there. This half only looks whether everything needed is here and starts the other
half inside.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from metacni.cli import programs
from metacni.cli.command import CommandError
from metacni.cli.demo_node import namespaces

INSIDE = "metacni.cli.demo_story"
NEEDED = ("unshare", "ip", "ping", "mount")
LEASES = Path("/var/lib/cni")
"""Where plugins keep leases; the demo mounts its own over it, so the folder has to exist."""


def run(options: argparse.Namespace) -> int:
    """Run the demo; 0 when everything worked and nothing is left."""
    example = _example(options.examples)
    _require_programs(options.plugins, [*os.environ.get("PATH", os.defpath).split(":"), "/usr/sbin", "/sbin"])
    _require_root(os.geteuid())
    made = _make_folders(LEASES)
    try:
        return _play(example, options.plugins)
    finally:
        with contextlib.suppress(OSError):  # somebody else uses it by now
            for folder in made:
                folder.rmdir()


def _play(example: Path, plugins: Path) -> int:
    """Run the other half in fresh namespaces; its exit status."""
    fresh = ("unshare", "--net", "--mount", "--propagation", "private", "--")
    story = (sys.executable, "-m", INSIDE, str(example.resolve()), str(plugins.resolve()), *namespaces())
    return programs.shown([*fresh, *story])


def _example(named: Path | None) -> Path:
    example = named or Path(__file__).resolve().parents[2] / "examples" / "demo"
    for file in ("node.conflist", "definitions.yaml"):
        if not (example / file).is_file():
            raise CommandError(
                f"cannot use the example {str(example)!r}: it has no {file}; name one with --examples DIR"
            )
    return example


def _require_root(user: int) -> None:
    if user != 0:
        raise CommandError("needs root: it makes network namespaces (try: sudo make demo)")


def _require_programs(plugins: Path, folders: Sequence[str]) -> None:
    missing = [name for name in NEEDED if not any((Path(folder) / name).is_file() for folder in folders)]
    if missing:
        raise CommandError(f"cannot find {', '.join(missing)}: install util-linux, iproute2, iputils-ping and mount")
    if not (plugins / "bridge").is_file():
        raise CommandError(
            f"cannot find the reference plugins in {str(plugins)!r}: "
            "install containernetworking-plugins, or name their folder with --plugins DIR"
        )


def _make_folders(path: Path) -> list[Path]:
    """Make what is missing of `path`; what was made, deepest first, so that it can be taken away again."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing
