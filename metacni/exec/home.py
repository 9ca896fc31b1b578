# SPDX-License-Identifier: Apache-2.0
"""The runtime's cgroups, remembered from its calls, for plugins that run when it does not call (decision 2).

Kept beside the journal, for a new agent has work to do before the first call. A wrong or lost file costs nothing but
the right cgroup, so it is not synced, and no error of it reaches a call.
"""

import logging
import os
import threading
from pathlib import Path

from metacni.exec import cgroup
from metacni.exec.cgroup import Membership
from metacni.exec.frames import MAX_CGROUP, Call

log = logging.getLogger(__name__)

RUNTIMES_NAMES = frozenset({"metacni", "multus", "multus-shim"})
"""The names under which a runtime calls us; whoever calls another one may be anywhere."""

FILE = "cgroup"

_UNFINISHED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not hang the agent's start


class Home:
    """Where the runtime lives, as its last call told; threads may share it."""

    def __init__(self, state_dir: Path) -> None:
        """Read what the agent before us knew."""
        self._file = state_dir / FILE
        self._lock = threading.Lock()
        self._text = self._read()

    def remember(self, call: Call) -> None:
        """Take note of where a call came from."""
        if call.program not in RUNTIMES_NAMES or call.cgroup in ("", self._text):
            return
        with self._lock:
            self._text = call.cgroup
            self._write(call.cgroup)
        if bad := cgroup.parse(call.cgroup)[1]:
            log.warning("a cgroup of the runtime's cannot be joined by what runs without it", extra={"cgroups": bad})

    def cgroups(self) -> list[Membership]:
        """The cgroups to join, one of each hierarchy; none before a call has told: plugins stay in the agent's then."""
        return cgroup.parse(self._text)[0]

    def _read(self) -> str:
        try:
            with open(self._file, "rb", opener=lambda path, flags: os.open(path, flags | _READ)) as file:
                return os.fsdecode(file.read(MAX_CGROUP))
        except FileNotFoundError:
            return ""
        except OSError as cause:
            log.warning("the runtime's cgroup is unknown until it calls", extra={"cause": str(cause)})
            return ""

    def _write(self, text: str) -> None:
        """Whole or not at all; the lock keeps the unfinished file ours."""
        unfinished = self._file.with_name(f".{FILE}")
        try:
            with open(unfinished, "wb", opener=lambda path, _: os.open(path, _UNFINISHED, 0o600)) as file:
                file.write(os.fsencode(text))
            unfinished.replace(self._file)
        except OSError as cause:
            log.warning("the next agent will not know the runtime's cgroup", extra={"cause": str(cause)})
