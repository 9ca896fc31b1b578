# SPDX-License-Identifier: Apache-2.0
"""What is mounted where, as the kernel tells it without any right: /proc/PID/mountinfo of us and of process 1.

Reads only. Must not decide what a mount is good for (ground.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo, as far as it is used."""

    id: int
    point: str
    kind: str
    """The file system's: ext4, proc, …"""

    shared: bool
    """Whether mounts that are made below it elsewhere (on the host, behind a container's mount) appear here."""


def of(process: Path) -> tuple[Mount, ...]:
    """The mounts that a process sees, in the order of mounting; `process` is its folder below /proc.

    Raises:
        OSError: they cannot be read.
    """
    return tuple(_parse(line) for line in (process / "mountinfo").read_text("utf-8").splitlines())


def under(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a path lies on; None: not even `/` is one."""
    found = None
    for mount in mounts:  # a later one lies on top of an earlier
        if below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or below it, by their text: `..` leads nowhere."""
    one, other = (PurePosixPath(f"/{text.lstrip('/')}") for text in (path, folder))  # `//a` is `/a`, but not to pathlib
    return path.startswith("/") and ".." not in one.parts and one.is_relative_to(other)


def same_namespace(one: Path, other: Path) -> bool:
    """Whether two processes share a mount namespace; no, where it cannot be told.

    A mount's number is its own on the whole machine, so the root's tells; /proc/PID/ns/mnt would take SYS_PTRACE.
    """
    try:
        roots = [under("/", of(process)) for process in (one, other)]
    except (OSError, ValueError):
        return False
    return roots[0] is not None and roots[1] is not None and roots[0].id == roots[1].id


def _parse(line: str) -> Mount:
    head, _, tail = line.partition(" - ")
    number, _, _, _, point, _, *tags = head.split(" ")
    return Mount(
        id=int(number),
        point=_ESCAPE.sub(lambda found: chr(int(found[1], 8)), point),
        kind=tail.split(" ")[0],
        shared=any(tag.startswith(("shared:", "master:")) for tag in tags),
    )
