# SPDX-License-Identifier: Apache-2.0
"""The second executor: runs plugins when no shim of the runtime's is there to do it.

It is the shim's own binary, started over a socket pair, so what the agent's end speaks is the same Connection. This
is the only place where the agent starts a program. It must not decide what is worth running.
"""

import logging
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType
from metacni.exec.channel import ShimGone
from metacni.exec.connection import Connection
from metacni.exec.home import Home

log = logging.getLogger(__name__)

STAY = 0
"""The host PID that means: plugins run where the agent is."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CANNOT_ENTER = 3  # the binary's exit status
_END_SECONDS = 5.0  # a plugin is killed within one second; more is a binary that does not answer


class Unavailable(CniError):  # noqa: N818  what is so, not whose fault
    """No executor can be had here; what needs one has to wait for the runtime."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(Code.TRY_AGAIN, f"cannot run plugins without the runtime: {why}", hint)


class NoExecutor:
    """An agent that runs nothing by itself."""

    def __init__(self, why: str) -> None:
        self._why = why

    @contextmanager
    def runner(self) -> Iterator[Connection]:
        """Always refuse."""
        raise Unavailable(self._why)
        yield  # what makes it a generator


class Executor:
    """Starts executors, one for each piece of work: it ends with the block, or with the agent."""

    def __init__(self, binary: Path, host_pid: int | None = None, home: Home | None = None) -> None:
        """Start nothing yet.

        Args:
            binary: the shim.
            host_pid: whose mount namespace plugins run in, STAY for the agent's own; None: that of process 1 if it can
                be entered, else the agent's own.
            home: what is known of the runtime's cgroups, which plugins run in; without it, or before it knows, the
                agent's.
        """
        self._binary = binary
        self._host_pid = host_pid
        self._home = home
        self._lock = threading.Lock()

    @contextmanager
    def runner(self) -> Iterator[Connection]:
        """Start an executor for the block.

        Raises:
            Unavailable: it cannot be started, or not where plugins are.
        """
        with self._started() as process, process.connection:
            yield process.connection

    def _started(self) -> "_Process":
        with self._lock:  # or two would try, and warn
            host_pid = 1 if self._host_pid is None else self._host_pid
            try:
                return self._process(host_pid)
            except _CannotEnter as cause:
                if self._host_pid is not None:
                    raise
                self._host_pid = STAY
                log.warning("plugins without a call run in the agent's mount namespace", extra={"cause": cause.msg})
            return self._process(STAY)

    def _process(self, host_pid: int) -> "_Process":
        cgroups = self._home.cgroups() if self._home is not None else []
        options = [part for one in cgroups for part in ("--cgroup", str(one))]
        return _Process(self._binary, ["--host-pid", str(host_pid), *options])


class _CannotEnter(Unavailable):
    """The mount namespace that was asked for is closed to us."""


class _Process:
    """One executor that has answered: it ends when its connection is closed, and is reaped at the end of the block."""

    def __init__(self, binary: Path, options: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [binary, "--executor", *options],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={"PATH": os.environ.get("PATH") or _PATH},
                    cwd="/",
                    start_new_session=True,  # a Ctrl-C for the agent is not for the plugin of an undo
                )
        except OSError as cause:
            self.connection.close()
            raise Unavailable(f"{str(binary)!r}: {(cause.strerror or str(cause)).lower()}") from cause
        try:
            self.connection.find([PluginType("any")], ())  # its first answer says that it is where it should be
        except (ShimGone, CniError) as cause:
            self.connection.close()
            raise self._reason() from cause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.connection.close()
        _, said = self._end()
        if said:
            log.warning("the executor has something to say", extra={"cause": said})

    def _end(self) -> tuple[int, str]:
        """Wait for the end; exit status, and what it had to say."""
        try:
            _, said = self._process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        return self._process.returncode, " ".join(said.decode(errors="replace").split())

    def _reason(self) -> Unavailable:
        status, said = self._end()
        if status == _CANNOT_ENTER:
            return _CannotEnter(said, "it needs hostPID, SYS_ADMIN, SYS_CHROOT and SYS_PTRACE; or set `executor: none`")
        return Unavailable(said or f"it ended with status {status}")
