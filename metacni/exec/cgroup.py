# SPDX-License-Identifier: Apache-2.0
"""What a kernel says of a process's cgroups, as values; the executor's C side finds where they are mounted.

A process on a v1 or hybrid host is in one cgroup per hierarchy, and a plugin is to be in all of its runtime's. Pure.
"""

import re
from dataclasses import dataclass

_LINE = re.compile(r"(0|[1-9][0-9]*):([^:/\0]*):(/[^\0]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A cgroup in one hierarchy: "" for cgroup2, else its controllers (`cpu,cpuacct`) or its name (`name=systemd`)."""

    controllers: str
    path: str

    def __str__(self) -> str:
        return f"{self.controllers}:{self.path}"


def parse(text: str) -> tuple[list[Membership], list[str]]:
    """Read the lines of /proc/PID/cgroup: what can be joined, and the lines that say something else.

    A path with `..` is one of the latter: it is how the kernel shows a cgroup outside the reader's namespace.
    """
    good: list[Membership] = []
    bad: list[str] = []
    for line in filter(None, text.split("\n")):  # not splitlines: a cgroup's name may hold any other separator
        match = _LINE.fullmatch(line)
        if match is None or (match[1] == "0") != (match[2] == "") or ".." in match[3].split("/"):
            bad.append(line)
        else:
            good.append(Membership(controllers=match[2], path=match[3]))
    return good, bad
