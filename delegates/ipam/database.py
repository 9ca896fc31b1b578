# SPDX-License-Identifier: Apache-2.0
"""A network's leases in one SQLite file: opened once in a process, locked for each use, kept or undone as a whole.

SQLite, because a writer may be killed between any two writes and three indexes have to agree then. In WAL mode nothing
waits for the disk but the occasional checkpoint; what a power cut can lose is the leases of pods that it ended, too.
Must not know what the tables mean.
"""

import atexit
import errno
import os
import sqlite3
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from delegates import _disk
from delegates.ipam import folder
from metacni.cni.errors import CniError, Code
from metacni.netns.failures import failing

FILE: Final = "leases.db"
MAX_OPEN: Final = 32
"""Networks whose file a process keeps open; to open one costs ten times what a lease does."""

VERSION: Final = 1
"""Of the tables."""

_SOON: Final = 1000
_LATE: Final = 4000
"""Pages of the log after which it is written back, which waits for the disk: rather for a DEL than for an ADD."""

_NAMES: Final = (FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal")
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_PRIMARY: Final = 0xFF  # of SQLite's extended codes
_CAUSES: Final = {
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_READONLY: "read-only file system",
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_CORRUPT: "it is corrupt",
    sqlite3.SQLITE_NOTADB: "it is corrupt",
    sqlite3.SQLITE_FULL: "no space left on device",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
}
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

Identity = tuple[int, int]


@dataclass(slots=True)
class _Open:
    """One file, open in this process. Whoever has `lock` may use it while it is not closed."""

    connection: sqlite3.Connection
    identity: Identity
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        with suppress(sqlite3.Error):
            self.connection.close()


@contextmanager
def transaction(path: Path, schema: str, *, make: bool) -> Iterator[sqlite3.Connection | None]:
    """The locked file of the network whose folder this is; None if there is none, and it is not to be made.

    What the caller does there is kept when it ends well, and undone when it raises.

    Raises:
        CniError: code 5, the folder or the file cannot be used; code 11, another process does not let go of it.
    """
    file = _locked(path, schema, make=make)
    if file is None:
        yield None
        return
    try:
        with _telling(path, file):
            file.connection.execute(f"PRAGMA wal_autocheckpoint={_LATE if make else _SOON}")
            file.connection.execute("BEGIN IMMEDIATE")
            try:
                yield file.connection
                file.connection.execute("COMMIT")
            finally:
                if file.connection.in_transaction:  # not all was well
                    file.connection.execute("ROLLBACK")
    finally:
        file.lock.release()


def close() -> None:
    """Close what this process has open."""
    with _guard:
        while _files:
            _, file = _files.popitem()
            with file.lock:
                file.close()


_guard: Final = threading.Lock()
_files: Final[OrderedDict[Path, _Open]] = OrderedDict()
atexit.register(close)


def _locked(path: Path, schema: str, *, make: bool) -> _Open | None:
    """The open file, its lock taken; another thread may close it in between, then it is sought again."""
    while True:
        fd = folder.make(path.parent, path.name, 0o700) if make else folder.existing(path.parent, path.name)
        if fd is None:
            return None
        try:
            file = _cached(path, fd, schema) if make or _identity(fd, path) else None
        finally:
            os.close(fd)
        if file is None:
            return None
        if not file.lock.acquire(timeout=_disk.PATIENCE):
            raise _busy(path)
        if not file.closed:
            return file
        file.lock.release()


def _cached(path: Path, fd: int, schema: str) -> _Open:
    """The file that stands in the folder now, which need not be the one that was opened last time."""
    with _guard:
        file = _files.pop(path, None)
        if file is not None and (file.closed or file.identity != _identity(fd, path)):
            _shut(file)
            file = None
        if file is None:
            file = _opened(path, fd, schema)
        _files[path] = file
        while len(_files) > MAX_OPEN:
            _shut(_files.popitem(last=False)[1])
        return file


def _shut(file: _Open) -> None:
    with file.lock:
        file.close()


def _opened(path: Path, fd: int, schema: str) -> _Open:
    """Open the file, made and given its tables when they are not there: one process at a time."""
    with failing(f"cannot open {_told(path)}"):
        _require_private(path, fd)
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:  # of which SQLite says no more than that it cannot open
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        _disk.lock(fd)
        identity = _identity(fd, path) or _created(fd)
    connection = None
    try:
        with _telling(path):
            connection = sqlite3.connect(
                f"/proc/self/fd/{fd}/{FILE}", timeout=_disk.PATIENCE, isolation_level=None, check_same_thread=False
            )
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-512;")
            _require_same(path, connection, identity)
            _prepare(path, connection, schema)
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return _Open(connection, identity)


def _created(fd: int) -> Identity:
    """An empty file is an empty database; the ones beside it get its mode from SQLite."""
    made = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
    try:
        status = os.fstat(made)
    finally:
        os.close(made)
    return status.st_dev, status.st_ino


def _prepare(path: Path, connection: sqlite3.Connection, schema: str) -> None:
    """Make the tables; those of a version that is not ours are not touched."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version={VERSION}; COMMIT;")
    elif version != VERSION:
        raise CniError(Code.IO, f"cannot use {_told(path)}: it is of version {version}, not {VERSION}")


def _require_private(path: Path, fd: int) -> None:
    """SQLite opens its files by name: so nobody else may change what a name in the folder leads to."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
        hint = "it has to belong to the agent's user, and nobody else may write to it"
        raise CniError(Code.IO, f"cannot use lease folder {str(path)!r}: others may write to it", hint)
    for name in _NAMES:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                raise CniError(Code.IO, f"cannot use {str(path / name)!r}: a symbolic link, or no file")


def _require_same(path: Path, connection: sqlite3.Connection, identity: Identity) -> None:
    """What SQLite has opened is what stands in the folder."""
    _, _, name = connection.execute("PRAGMA database_list").fetchone()
    with failing(f"cannot open {_told(path)}"):
        status = os.stat(name)  # noqa: PTH116 - no path object on the way of an ADD
    if (status.st_dev, status.st_ino) != identity:
        raise CniError(Code.TRY_AGAIN, f"cannot open {_told(path)}: its folder was moved meanwhile")


def _identity(fd: int, path: Path) -> Identity | None:
    """Never by opening it: to close a descriptor of a file drops this process's locks on it."""
    with failing(f"cannot look at {_told(path)}"):
        try:
            status = os.stat(FILE, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
    return status.st_dev, status.st_ino


@contextmanager
def _telling(path: Path, file: _Open | None = None) -> Iterator[None]:
    """SQLite's errors as ours; after one the file is opened anew, it may have been repaired."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        if code in _LOCKED:
            raise _busy(path) from error
        if file is not None:
            file.close()
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        hint = "move the file away when no pod of the network runs: addresses in use are written nowhere else"
        raise CniError(
            Code.IO, f"cannot use {_told(path)}: {_CAUSES.get(code, name)}", hint if code in _CORRUPT else ""
        ) from error


def _busy(path: Path) -> CniError:
    return CniError(Code.TRY_AGAIN, f"cannot lock {_told(path)}: another process has it for too long")


def _told(path: Path) -> str:
    return f"lease file {str(path / FILE)!r}"
