# SPDX-License-Identifier: Apache-2.0
"""What a test needs of a node: the shim's binary, its socket's folder, plugins that are shell scripts, an agent's end.

The agent's end is the real `metacni.exec`, worked by the test itself: no thread, and every step is in the test.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from metacni.cni.names import PluginType
from metacni.exec.connection import Connection
from metacni.exec.frames import Call, Execution

LIMIT = 20.0  # seconds; nothing here takes so long, even beside other work
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CONFIG = b'{"cniVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class Running:
    """A shim at work."""

    process: subprocess.Popen[bytes]

    def finish(self) -> tuple[int, bytes, bytes]:
        """Wait for its end: exit status, stdout, stderr."""
        stdout, stderr = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, stdout, stderr


class Host:
    """What a node has: a binary, a socket's folder, a folder of plugins."""

    def __init__(self, binary: Path, folder: Path, stack: ExitStack) -> None:
        self.binary = binary
        self.folder = folder / "run"
        self.plugins = folder / "bin"
        self.folder.mkdir(mode=0o700)
        self.plugins.mkdir()
        self.cwd: Path | None = None
        self._stack = stack
        self._listener: socket.socket | None = None

    @property
    def address(self) -> Path:
        """The agent's socket."""
        return self.folder / "cni.sock"

    def start(self, verb: str, stdin: bytes | None = CONFIG, *, name: str | None = None, **variables: str) -> Running:
        """Call the shim as a runtime does, under this name; stdin is closed after `stdin`, or left open for None."""
        environment = {"METACNI_SOCKET": str(self.address), "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", **variables}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [name or str(self.binary)],
            executable=self.binary,
            bufsize=0,
            cwd=self.cwd,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        assert process.stdin
        if stdin is None:
            self._stack.enter_context(process.stdin)
        else:
            rest = memoryview(stdin)
            with suppress(BrokenPipeError):  # a shim that has heard enough
                while rest:
                    rest = rest[process.stdin.write(rest) :]
            process.stdin.close()
        process.stdin = None  # or communicate would close one that is to stay open
        return Running(process)

    def call(
        self, verb: str, stdin: bytes | None = CONFIG, *, name: str | None = None, **variables: str
    ) -> tuple[int, bytes, bytes]:
        """Call the shim where no agent is needed for its answer."""
        return self.start(verb, stdin, name=name, **variables).finish()

    def listen(self) -> None:
        """Listen as an agent does."""
        self._listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(self.address))
        self._listener.listen()
        self._listener.settimeout(LIMIT)

    def deafen(self) -> None:
        """Stop listening and leave the socket's file, as a killed agent does."""
        assert self._listener
        self._listener.close()

    def accept(self) -> tuple[Connection, Call]:
        """Take the next shim's call."""
        assert self._listener
        connection = self._stack.enter_context(Connection(self._listener.accept()[0]))
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if call := connection.feed():
                return connection, call
            time.sleep(0.001)
        raise TimeoutError("the shim's call did not come")

    def raw(self, wait: float = LIMIT) -> socket.socket:
        """Take the next shim's connection as a bare socket."""
        assert self._listener
        self._listener.settimeout(wait)
        sock = self._stack.enter_context(self._listener.accept()[0])
        sock.settimeout(LIMIT)
        return sock

    def plugin(self, script: str, name: str = "fake") -> Path:
        """Put a plugin on the host."""
        file = self.plugins / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def pid(self) -> int:
        """Give the process id that a plugin wrote to the file beside it; 0 before that."""
        file = self.plugins / "fake.pid"
        return int((file.read_text() if file.exists() else "") or 0)

    def request(self, name: str = "fake", stdin: bytes = b"", **variables: str) -> Execution:
        """Ask for one run of it."""
        return Execution(type=PluginType(name), path=(str(self.plugins),), environment=dict(variables), stdin=stdin)

    def alive(self, age: float) -> None:
        """Leave the agent's sign of life, so many seconds old."""
        (self.folder / "alive").touch()
        os.utime(self.folder / "alive", times=(time.time() - age,) * 2)


def until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def dead(pid: int) -> bool:
    """Say whether a process has ended; a zombie nobody has collected yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
