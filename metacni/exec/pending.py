# SPDX-License-Identifier: Apache-2.0
"""The DELs that shims recorded while no agent answered, beside the socket.

A shim writes `pending/<containerID>` before it calls, so the agent removes the record when that sandbox is done, and
works the others off at its start: first listen, then read this folder, or a DEL between the two would be lost.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metacni.cni.errors import CniError
from metacni.cni.names import ContainerId, container_id
from metacni.exec import frames

FOLDER = "pending"
ALIVE = "alive"  # its time stamp tells the shims when an agent last lived
HALF_WRITTEN_SECONDS = 60.0
"""A shim that lives gives its file the name at once; one that stands still for so long will not mind to lose it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not hang the agent's start
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # the last two are said of a symlink


class Pending:
    """The folder of recorded DELs below the socket's folder.

    A link in its place counts as no folder, as it does for the shim: nothing is read or deleted where it leads.
    """

    def __init__(self, socket_folder: Path) -> None:
        self._path = socket_folder / FOLDER

    def calls(self) -> Iterator[tuple[ContainerId, frames.Call | None]]:
        """Give each record, oldest first; a damaged one as None, for its name alone still says which sandbox."""
        with self._opened() as folder:
            for file in sorted(_names(folder, half_written=False), key=lambda file: _written(file, folder)):
                try:
                    name = container_id(file)
                except CniError:
                    continue
                try:
                    yield name, frames.record(_read(file, folder))
                except (frames.FrameError, OSError):
                    yield name, None

    def waits(self, name: ContainerId) -> bool:
        """Say whether a DEL of this sandbox is recorded."""
        with self._opened() as folder:
            return name in _names(folder, half_written=False)

    def done(self, name: ContainerId) -> None:
        """Forget the record of a sandbox whose DEL is complete."""
        with self._opened() as folder, suppress(FileNotFoundError):
            if folder is not None:
                os.unlink(name, dir_fd=folder)

    def sweep(self) -> None:
        """Delete what killed shims left half written: it holds a whole configuration, and nobody would ever look."""
        with self._opened() as folder:
            for file in _names(folder, half_written=True):
                with suppress(FileNotFoundError):  # it has got its name meanwhile
                    if time.time() - _written(file, folder) > HALF_WRITTEN_SECONDS:
                        os.unlink(file, dir_fd=folder)

    @contextmanager
    def _opened(self) -> Iterator[int | None]:
        try:
            folder = os.open(self._path, _FOLDER)
        except OSError as cause:
            if cause.errno not in _NO_FOLDER:
                raise
            yield None
            return
        try:
            yield folder
        finally:
            os.close(folder)


def _names(folder: int | None, *, half_written: bool) -> list[str]:
    """The files; temporary ones start with a dot, which no container id does."""
    found = [] if folder is None else os.listdir(folder)  # noqa: PTH208  an open folder, that nobody can swap any more
    return [name for name in found if name.startswith(".") == half_written]


def _written(file: str, folder: int | None) -> float:
    return os.stat(file, dir_fd=folder, follow_symlinks=False).st_mtime


def _read(file: str, folder: int | None) -> bytes:
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | _FILE, dir_fd=folder)) as record:
        return record.read()
