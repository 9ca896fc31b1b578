# SPDX-License-Identifier: Apache-2.0
"""The ground a test node stands on: a network namespace, a cgroup and a folder of its own, and the proof that all go.

A node of the tests must not show on the machine: its bridges, rules and addresses are in its namespace, its pods'
cgroups below one of its own, its mounts below one folder. What ends here is found by these three, never by a name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS, GATEWAY = "10.98.0.2", "10.98.0.1"
ADDRESS6, GATEWAY6 = "fd98::2", "fd98::1"
# The kubelet sets these for the whole machine; they are put back.
KERNEL_SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
OWN_LINKS = frozenset({"lo", "eth0", "uplink0"})


class Node:
    """Namespace, cgroup and folder of one test node."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        self.folder = Path("/tmp") / f"mc-{self.id}"  # noqa: S108 - short: a Unix socket's path holds 107 bytes
        self.netns = Path("/run/netns") / f"mc-node-{self.id}"
        self.cgroup = f"mc-{self.id}"
        self._settings: dict[Path, str] = {}

    def make(self) -> None:
        """Make all three; `eth0` is a veth whose other end, `uplink0`, stays in the namespace: packets end there."""
        self.folder.mkdir(mode=0o700)
        _run("ip", "netns", "add", self.netns.name)
        for line in (
            "link set lo up",
            "link add eth0 type veth peer name uplink0",
            "link set uplink0 up",
            "link set eth0 up",
            f"addr add {ADDRESS}/24 dev eth0",
            f"-6 addr add {ADDRESS6}/64 dev eth0 nodad",
            f"route add default via {GATEWAY}",  # the kubelet wants one
            f"-6 route add default via {GATEWAY6}",
        ):
            self.run("ip", *line.split())
        for folder in self._cgroups():
            folder.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # a v1 cpuset starts empty, and then takes no process
                if (folder / name).exists() and (folder / "cgroup.clone_children").exists():
                    (folder / name).write_text((folder.parent / name).read_text())
        paths = [Path("/proc/sys") / name for name in KERNEL_SETTINGS]
        self._settings = {path: path.read_text() for path in paths if path.exists()}

    def command(self, *argv: str) -> list[str]:
        """Return the command line that runs `argv` in the node's network namespace, as the process that is started."""
        return ["nsenter", f"--net={self.netns}", "--", *argv]

    def run(self, *argv: str, stdin: str = "", seconds: float = 60) -> str:
        """Run a program in the node's namespace and return what it printed; a failure shows its own words."""
        return _run(*self.command(*argv), stdin=stdin, seconds=seconds)

    def links(self) -> set[str]:
        """Return the names of the links in the namespace that are not the node's own."""
        lines = self.run("ip", "-o", "link", "show").splitlines()
        return {line.split(": ")[1].split("@")[0] for line in lines} - OWN_LINKS

    def remove(self) -> None:
        """End and remove everything; an AssertionError names what could not be removed."""
        deadline = time.monotonic() + 20
        while (alive := self.processes()) and time.monotonic() < deadline:
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for mount in reversed(self.mounts()):
            _run("umount", "--lazy", mount)
        for folder in self._cgroups():
            _remove_cgroup(folder)
        if self.netns.exists():
            _run("ip", "netns", "delete", self.netns.name)
        for path, text in self._settings.items():
            path.write_text(text)
        for link in Path("/var/log/containers").glob("*"):  # the kubelet's, to the logs below our folder
            if link.is_symlink() and link.readlink().is_relative_to(self.folder):
                link.unlink()
        left = self.leftovers(but_the_folder=True)
        assert not left, f"the test node {self.id} leaves: {left}"
        shutil.rmtree(self.folder, ignore_errors=False)

    def leftovers(self, *, but_the_folder: bool = False) -> list[str]:
        """Return what still exists of the node, as text."""
        found = [f"process {pid}: {_command_line(pid)}" for pid in self.processes()]
        found += [f"mount {mount}" for mount in self.mounts()]
        found += [f"cgroup {folder}" for folder in self._cgroups() if folder.exists()]
        found += [f"namespace {self.netns}"] if self.netns.exists() else []
        return found + ([f"folder {self.folder}"] if self.folder.exists() and not but_the_folder else [])

    def processes(self) -> list[int]:
        """Return the processes in the namespace, in the cgroup, or with the folder on their command line; not us."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if pid not in (os.getpid(), os.getppid()) and self._is_ours(pid)]

    def mounts(self) -> list[str]:
        """Return what is mounted below the folder, in the order of mounting."""
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        return [point for point in points if point.startswith(f"{self.folder}/")]

    def _is_ours(self, pid: int) -> bool:
        with suppress(OSError):
            if f"{self.folder}/" in _command_line(pid) or f"/{self.cgroup}/" in Path(f"/proc/{pid}/cgroup").read_text():
                return True
            return self.netns.exists() and Path(f"/proc/{pid}/ns/net").samefile(self.netns)
        return False

    def _cgroups(self) -> Iterator[Path]:
        for line in Path("/proc/mounts").read_text().splitlines():
            _, point, kind, *_ = line.split()
            if kind in ("cgroup", "cgroup2"):
                yield Path(point) / self.cgroup


def _run(*command: str, stdin: str = "", seconds: float = 60) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _remove_cgroup(folder: Path) -> None:
    """Remove a cgroup and those below it, the deepest first; it is busy for a moment after its last process."""
    deadline = time.monotonic() + 5
    while folder.exists() and time.monotonic() < deadline:
        for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
            if path.is_dir():
                with suppress(OSError):
                    path.rmdir()
        with suppress(OSError):
            folder.rmdir()
