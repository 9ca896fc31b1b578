# SPDX-License-Identifier: Apache-2.0
"""What is being done to which sandbox, on disk, so that any instant survives kill -9 (decision 10).

Before the first ADD the whole plan is here (B33); after each step its result. One folder a sandbox, named by the
container ID alone: names joined from several parts are ambiguous (B32). Must not know what plans and results say.

    <state>/sandboxes/<containerID>/     0700 (B28); appears by one rename with `sandbox` and `plan` inside
        sandbox                          boot and network namespace
        plan                             what ADD will do
        step-<attachment>-<plugin>       the result of that plugin
        answer                           ADD is complete; what it answered
        unsent, published                the network status, before and after the API server has it

A name that starts with a dot is unfinished, and of no meaning once its writer is dead.
"""

import errno
import fcntl
import os
import re
import threading
from contextlib import ExitStack
from pathlib import Path

from metacni.cni.names import ContainerId
from metacni.journal import files
from metacni.journal.files import CorruptRecord
from metacni.journal.record import Record
from metacni.journal.sandbox import SandboxIdentity, alive, boot_id

__all__ = ["CorruptRecord", "Journal", "Record", "SandboxIdentity", "alive", "boot_id"]

_CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", re.ASCII)


class Journal:
    """All records of a state folder. Threads may share it; two agents may not, so a writer locks the folder.

    The lock is what tells a dead writer's leftovers from a living one's: process ids do not, an agent in a container
    always has the same one.
    """

    def __init__(self, state_dir: Path, *, read_only: bool = False) -> None:
        """Open the journal, make its folder when there is none, and clean up what dead writers left.

        Args:
            state_dir: the agent's state folder.
            read_only: take no lock, make and clean nothing: for a look beside a running agent.

        Raises:
            BlockingIOError: another agent uses this folder.
            CorruptRecord: the folder is a symlink, or not ours alone.
            OSError: the disk is full, read-only, or broken.
        """
        self._path = state_dir / "sandboxes"
        self._status_lock = threading.Lock()
        with ExitStack() as opened:
            if not read_only:
                _make(state_dir)
            self._fd = opened.enter_context(files.folder(str(self._path), None, self._path))
            if not read_only:
                with files.naming(self._path):
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._clean()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the folder and its lock (the end of the process does that, too)."""
        self._opened.close()

    def begin(self, container_id: ContainerId, plan: bytes, *, sandbox: SandboxIdentity, durable: bool) -> Record:
        """Write the plan of a new sandbox: its record appears whole, or not at all.

        Args:
            container_id: names the record.
            plan: what ADD is going to do.
            sandbox: which sandbox it is for.
            durable: sync it to the disk: a power cut must not lose a plan that holds a lease outside this node.

        Raises:
            FileExistsError: there is a record of this sandbox.
            OSError: the disk is full, read-only, or broken; there is no record then.
        """
        record = self._record(container_id)
        unfinished = files.temporary("new")
        with ExitStack() as undo:
            files.make_folder(unfinished, self._fd, record.path)
            undo.callback(files.try_delete, unfinished, self._fd)
            with files.folder(unfinished, self._fd, record.path) as fd:
                files.write("sandbox", fd, sandbox.to_json(), record.path / "sandbox", durable=durable)
                files.write("plan", fd, plan, record.path / "plan", durable=durable)
                if durable:
                    os.fsync(fd)
            self._appear(unfinished, record)
            undo.callback(files.try_delete, container_id, self._fd)
            if durable:
                with files.naming(record.path):
                    os.fsync(self._fd)
            undo.pop_all()
        return record

    def open(self, container_id: ContainerId) -> Record | None:
        """The record of a sandbox, None when there is none; its files are read when asked for.

        Raises:
            CorruptRecord: something else stands in its place.
        """
        record = self._record(container_id)
        try:
            with files.folder(container_id, self._fd, record.path):
                return record
        except FileNotFoundError:
            return None

    def remove(self, container_id: ContainerId) -> None:
        """Delete the record of a sandbox, readable or not (B18); none is fine."""
        self._record(container_id).remove()

    def sandboxes(self) -> tuple[ContainerId, ...]:
        """The sandboxes that have a record, readable or not, in the order of their names."""
        return tuple(ContainerId(name) for name in sorted(self._names()) if _CONTAINER_ID.fullmatch(name))

    def unsent_all(self) -> tuple[tuple[Record, bytes], ...]:
        """The network statuses that a stopped agent left unsent; what cannot be read is left out."""
        found = []
        for container_id in self.sandboxes():
            record = self._record(container_id)
            try:
                status = record.unsent()
            except CorruptRecord:  # whoever opens this sandbox for its own sake is told
                continue
            if status is not None:
                found.append((record, status))
        return tuple(found)

    def writable(self) -> str | None:
        """Try whether a record could be made now: None, or the fault in words."""
        unfinished = files.temporary("try")
        try:
            files.write(unfinished, self._fd, b"", self._path)
            files.delete(unfinished, self._fd, self._path)
        except OSError as error:
            return f"{str(self._path)!r}: {os.strerror(error.errno or 0).lower()}"
        return None

    def _record(self, container_id: ContainerId) -> Record:
        if not _CONTAINER_ID.fullmatch(container_id):
            raise ValueError(f"cannot use {container_id!r} as the name of a record")
        return Record(container_id, parent=self._fd, path=self._path / container_id, lock=self._status_lock)

    def _appear(self, unfinished: str, record: Record) -> None:
        try:
            os.rename(unfinished, record.container_id, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except NotADirectoryError as error:
            raise CorruptRecord(record.path, "it is not a folder") from error
        except OSError as error:
            taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            number = errno.EEXIST if taken else error.errno or 0
            raise OSError(number, os.strerror(number), str(record.path)) from error

    def _names(self) -> list[str]:
        with files.naming(self._path):
            return files.names(self._fd)

    def _clean(self) -> None:
        for name in self._names():
            if name.startswith(files.TEMPORARY):
                files.delete(name, self._fd, self._path / name)
            elif _CONTAINER_ID.fullmatch(name):
                self._record(ContainerId(name)).clean()


def _make(state_dir: Path) -> None:
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state_dir / "sandboxes").mkdir(mode=0o700, exist_ok=True)
