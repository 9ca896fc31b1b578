# SPDX-License-Identifier: Apache-2.0
"""The record of one sandbox: a plan, the results of its steps, the answer, the network status.

Each call opens the folder anew and closes it again, so a record may be kept, passed to another thread, and outlive its
folder. Must not know what the bytes say.
"""

import os
import re
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from metacni.cni.names import ContainerId
from metacni.journal import files
from metacni.journal.files import CorruptRecord
from metacni.journal.sandbox import SandboxIdentity

_STEP = re.compile(r"step-(\d{1,4})-(\d{1,4})", re.ASCII)


class Record:
    """What is known about one sandbox.

    Attributes:
        container_id: the sandbox.
        path: its folder, for messages only.
        damaged: what `steps` and `unsent` left out because it is not as it was written.
    """

    __slots__ = ("_lock", "_parent", "_status", "container_id", "damaged", "path")

    def __init__(self, container_id: ContainerId, *, parent: int, path: Path, lock: threading.Lock) -> None:
        """Say where the record is; nothing is read yet.

        Args:
            container_id: the sandbox, and the folder's name.
            parent: the open folder that holds the record.
            path: the folder's path.
            lock: held while a network status changes its state.
        """
        self.container_id = container_id
        self.path = path
        self.damaged: list[CorruptRecord] = []
        self._parent = parent
        self._lock = lock
        self._status: bytes | None = None

    @property
    def plan(self) -> bytes:
        """What ADD set out to do.

        Raises:
            CorruptRecord: it cannot be read; nothing can be checked without it.
            FileNotFoundError: the record is gone.
        """
        return self._required("plan")

    @property
    def sandbox(self) -> SandboxIdentity:
        """Which sandbox it is for. Raises as `plan` does."""
        body = self._required("sandbox")
        try:
            return SandboxIdentity.from_json(body)
        except (ValueError, TypeError) as error:
            raise CorruptRecord(self.path / "sandbox", "it does not describe a sandbox") from error

    def step(self, attachment: int, plugin: int, result: bytes) -> None:
        """Keep the raw result of one plugin of one attachment."""
        self._replace(f"step-{attachment}-{plugin}", result)

    def steps(self) -> dict[tuple[int, int], bytes]:
        """The results kept so far, by (attachment, plugin); a corrupt one is left out (B18) and added to `damaged`."""
        found = {}
        with self._folder() as fd:
            for name in sorted(files.names(fd)):
                if match := _STEP.fullmatch(name):
                    result = self._tolerant(name, fd)
                    if result is not None:
                        found[int(match[1]), int(match[2])] = result
        return dict(sorted(found.items()))

    def finish(self, answer: bytes) -> None:
        """Keep what ADD answers: only from here on is the sandbox complete (B14)."""
        self._replace("answer", answer)

    @property
    def finished(self) -> bool:
        """Whether ADD is complete: told by the presence of the answer, readable or not."""
        with self._folder() as fd:
            return "answer" in files.names(fd)

    @property
    def answer(self) -> bytes | None:
        """What ADD answered; None when it is not complete.

        Raises:
            CorruptRecord: it cannot be read. That is not the same as incomplete: undoing it would cut off a living pod.
        """
        with self._folder() as fd:
            return files.read("answer", fd, self.path / "answer")

    def publish(self, status: bytes) -> None:
        """Keep a network status that is about to be sent."""
        with self._lock:
            self._replace("unsent", status)
            self._status = status

    def unsent(self) -> bytes | None:
        """The network status not known to have arrived; a corrupt one is left out and added to `damaged`."""
        with suppress(FileNotFoundError), self._folder() as fd:
            return self._tolerant("unsent", fd)
        return None

    def published(self, status: bytes | None = None) -> None:
        """Note that a network status has arrived; nothing happens if the record is gone or a newer one waits.

        Args:
            status: which one; by default the one this object was last told to publish, else whichever is unsent.
        """
        expected = self._status if status is None else status
        with self._lock, suppress(FileNotFoundError), self._folder() as fd:
            if expected is not None and self._tolerant("unsent", fd) != expected:
                return
            os.rename("unsent", "published", src_dir_fd=fd, dst_dir_fd=fd)

    def remove(self) -> None:
        """Delete the record; it is renamed aside first, so that it is never half there. Gone already is fine."""
        aside = files.temporary("gone")
        with files.naming(self.path), suppress(FileNotFoundError):
            os.rename(self.container_id, aside, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            files.delete(aside, self._parent, self.path)

    def clean(self) -> None:
        """Delete the unfinished files of dead writers; a record that cannot be opened is left to whoever needs it."""
        with suppress(CorruptRecord, FileNotFoundError), self._folder() as fd:
            for name in files.names(fd):
                if name.startswith(files.TEMPORARY):
                    files.delete(name, fd, self.path / name)

    def _folder(self) -> AbstractContextManager[int]:
        return files.folder(self.container_id, self._parent, self.path)

    def _required(self, name: str) -> bytes:
        with self._folder() as fd:
            content = files.read(name, fd, self.path / name)
        if content is None:
            raise CorruptRecord(self.path / name, "the file is missing")
        return content

    def _tolerant(self, name: str, fd: int) -> bytes | None:
        try:
            return files.read(name, fd, self.path / name)
        except CorruptRecord as error:
            self.damaged.append(error)
            return None

    def _replace(self, name: str, content: bytes) -> None:
        with self._folder() as fd:
            files.replace(name, fd, content, self.path / name)
