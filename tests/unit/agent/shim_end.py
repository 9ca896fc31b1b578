# SPDX-License-Identifier: Apache-2.0
"""The other end of a connection: a shim of a few lines, which plays its plugins with a FakeRunner."""

import json
import socket
from pathlib import Path
from typing import Any

from metacni.cni.names import PluginType
from metacni.exec import frames
from metacni.exec.frames import Execution, Header, How, Type
from tests.unit.agent.fakes import ARGS, FakeRunner

VARIABLES = {
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/c1",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": ARGS,
    "CNI_PATH": "/usr/lib/cni",
}


class ShimEnd:
    """One call, from the shim's side."""

    def __init__(self, sock: socket.socket, plugins: FakeRunner | None = None) -> None:
        sock.settimeout(10)
        self.sock = sock
        self.plugins = plugins or FakeRunner()

    def call(
        self, verb: str, stdin: bytes, *, program: str = "metacni", netns: int | None = None, **variables: str
    ) -> None:
        """Send the CALL; `variables` replace or add to the usual ones, an empty one is left out."""
        path = {} if netns is None else {"CNI_NETNS": str(Path(f"/proc/self/fd/{netns}").readlink())}
        environment = {"CNI_COMMAND": verb, **VARIABLES, **path, **variables}
        pairs = [f"{key}={value}".encode() for key, value in environment.items() if value]
        flags = bytes([frames.HAS_NETNS if netns is not None else 0])
        frame = frames.pack(Type.CALL, 0, flags, program.encode(), b"containerd", stdin, *pairs)
        socket.send_fds(self.sock, [frame], [] if netns is None else [netns])

    def result(self) -> tuple[int, Any]:
        """Serve the agent's questions until it answers; the exit status and the JSON that the shim would print."""
        while True:
            head, fields = self._frame()
            if head.type == Type.FIND:
                missing = self.plugins.find(
                    [PluginType(one.decode()) for one in fields[1:]], fields[0].decode().split(":")
                )
                found = bytes(one.decode() not in missing for one in fields[1:])
                self.sock.sendall(frames.pack(Type.FOUND, head.tag, found))
            elif head.type == Type.EXEC:
                self.sock.sendall(self._run(head, fields))
            else:
                assert head.type == Type.RESULT
                status, stdout, _ = fields
                return status[0], json.loads(stdout) if stdout else None

    def hung_up(self) -> bool:
        """Whether the agent closed the connection without another word."""
        return self.sock.recv(1) == b""

    def _run(self, head: Header, fields: list[bytes]) -> bytes:
        execution = Execution(
            type=PluginType(fields[0].decode()),
            path=tuple(fields[1].decode().split(":")),
            environment=dict(pair.decode().split("=", 1) for pair in fields[3:]),
            stdin=fields[2],
        )
        done = self.plugins.run(execution, timeout=0)
        value = done.status.to_bytes(4, "little")
        return frames.pack(Type.DONE, head.tag, bytes([How.EXITED]), value, b"\0", done.stdout, done.stderr)

    def _frame(self) -> tuple[Header, list[bytes]]:
        head = frames.header(self._exactly(frames.HEADER_SIZE))
        return head, frames.split(self._exactly(head.length))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            assert more, "the agent hung up without an answer"
            data += more
        return data
