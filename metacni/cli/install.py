# SPDX-License-Identifier: Apache-2.0
"""`metacni install`: the shim in the runtime's plugin folder.

A file of that folder may be running: it is never written to but replaced by a rename, or the writer would meet "text
file busy" and the runtime half a program.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from metacni import shim
from metacni.agent import settings
from metacni.agent.settings import SettingsError
from metacni.cli import delegates
from metacni.cli.command import CommandError


def run(options: argparse.Namespace) -> int:
    """Install and say what was put where."""
    for path in install(options.bin_dir, trusted(options.config)):
        print(path)  # noqa: T201  this is a command line
    return 0


def trusted(settings_file: Path | None) -> frozenset[str]:
    """The delegates of other packages that the agent's settings trust.

    Raises:
        CommandError: the settings cannot be used.
    """
    try:
        return settings.load(settings_file).trusted_delegates
    except SettingsError as fault:
        raise CommandError(str(fault)) from fault


def install(folder: Path, trusted: Collection[str] = ()) -> tuple[Path, ...]:
    """Put the shim into `folder` as `metacni`, and once more for each delegate: ours, and those that are trusted.

    Raises:
        CommandError: there is no shim in this installation, or the folder cannot be written.
    """
    try:
        binary = shim.binary()
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_put(binary, folder / name) for name in names(trusted))
    except OSError as cause:
        raise CommandError(f"cannot install into {str(folder)!r}: {cause.strerror or cause}") from cause


def names(trusted: Collection[str] = ()) -> tuple[str, ...]:
    """Under which names a runtime or a foreign plugin may call us."""
    return ("metacni", *sorted(f"metacni-{name}" for name in delegates.chosen(trusted)))


def _put(binary: Path, target: Path) -> Path:
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out, binary.open("rb") as source:
            shutil.copyfileobj(source, out)
            os.fchmod(out.fileno(), 0o755)
            os.fsync(out.fileno())
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
