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
import shutil
import sys
from pathlib import Path

from metacni.cli import demo_example, programs
from metacni.cli.command import CommandError
from metacni.cli.demo_node import namespaces

INSIDE = "metacni.cli.demo_story"
NEEDED = ("unshare", "ip", "ping", "mount")
LEASES = Path("/var/lib/cni")
"""Where plugins keep leases; the demo mounts its own over it, so the folder has to exist."""


def run(options: argparse.Namespace) -> int:
    """Run the demo; 0 when everything worked and nothing is left.

    What was typed wrong is told to anybody; only then does it matter who asks.
    """
    example = options.examples or Path(__file__).resolve().parents[2] / "examples" / "demo"
    demo_example.load(example)
    _require_plugins(options.plugins)
    _require_root(os.geteuid())
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where `su` may not look
    _require_programs(search)
    made = _make_folders(LEASES)
    try:
        return _play(example, options.plugins, search)
    finally:
        with contextlib.suppress(OSError):  # somebody else uses it by now
            for folder in made:
                folder.rmdir()


def _play(example: Path, plugins: Path, search: str) -> int:
    """Run the other half in fresh namespaces; its exit status."""
    fresh = ("unshare", "--net", "--mount", "--propagation", "private", "--")
    story = (sys.executable, "-m", INSIDE, str(example.resolve()), str(plugins.resolve()), *namespaces())
    outside = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"}
    return programs.shown([*fresh, *story], env=outside | {"PATH": search})  # in a pod, too, this node is no pod


def _require_root(user: int) -> None:
    if user != 0:
        raise CommandError("needs root: it makes network namespaces (try: sudo make demo)")


def _require_plugins(plugins: Path) -> None:
    if shutil.which("bridge", path=str(plugins)) is None:
        raise CommandError(
            f"cannot find the reference plugins in {str(plugins)!r}: "
            "install containernetworking-plugins, or name their folder with --plugins DIR"
        )


def _require_programs(search: str) -> None:
    missing = [name for name in NEEDED if shutil.which(name, path=search) is None]
    if missing:
        raise CommandError(f"cannot find {', '.join(missing)}: install util-linux, iproute2, iputils-ping and mount")


def _make_folders(path: Path) -> list[Path]:
    """Make what is missing of `path`; what was made, deepest first, so that it can be taken away again."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing
