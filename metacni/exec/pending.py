# SPDX-License-Identifier: Apache-2.0
"""The DELs that shims recorded while no agent answered, beside the socket.

A shim writes `pending/<containerID>` before it calls, so the agent removes the record when that sandbox is done, and
works the others off at its start: first listen, then read this folder, or a DEL between the two would be lost.
"""

from collections.abc import Iterator
from pathlib import Path

from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, container_id
from metacni.exec import frames

FOLDER = "pending"
ALIVE = "alive"  # its time stamp tells the shims when an agent last lived


class Pending:
    """The folder of recorded DELs below the socket's folder."""

    def __init__(self, socket_folder: Path) -> None:
        self._folder = socket_folder / FOLDER

    def calls(self) -> Iterator[tuple[ContainerId, frames.Call | None]]:
        """Give each record, oldest first; a damaged one as None, for its name alone still says which sandbox."""
        try:
            files = sorted(self._folder.iterdir(), key=lambda file: file.lstat().st_mtime_ns)
        except FileNotFoundError:
            return
        for file in files:
            try:
                name = container_id(file.name)  # temporary files start with a dot, which no container id does
            except CniError:
                continue
            try:
                yield name, frames.record(file.read_bytes())
            except (frames.FrameError, OSError):
                yield name, None

    def done(self, name: ContainerId) -> None:
        """Forget the record of a sandbox whose DEL is complete."""
        (self._folder / name).unlink(missing_ok=True)
