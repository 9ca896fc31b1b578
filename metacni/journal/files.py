# SPDX-License-Identifier: Apache-2.0
"""Checksummed files that are whole or absent, always named relative to an open folder.

A path is looked up anew each time and can be swapped for a symlink between two looks, so nothing here follows one:
folders and files are opened with O_NOFOLLOW, and owner and mode are checked on the open descriptor. Must not know what
the files mean.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_FILE = 16 * 2**20
TEMPORARY = "."
"""How the name of everything unfinished starts: no container ID and no file of a record does."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # O_NONBLOCK: a FIFO in a file's place must not hang us
_CHECKSUM = 64


class CorruptRecord(Exception):  # noqa: N818 - the name says what it is
    """A folder or file of the journal is not as we wrote it: cut, changed, replaced, or not ours alone."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"cannot trust {str(path)!r}: {reason}")
        self.path = path
        self.reason = reason


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give every OSError of the body the full path (calls relative to a descriptor know only a piece, or none)."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def folder(name: str, parent: int | None, path: Path) -> Iterator[int]:
    """Open a folder of ours, below an open one, for the body.

    Raises:
        FileNotFoundError: there is none.
        CorruptRecord: it is no folder, a symlink, or others may read or own it.
    """
    with naming(path):
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):  # either is said of a symlink
                raise
            raise CorruptRecord(path, "it is not a folder") from error
    try:
        _require_private(os.fstat(fd), path)
        yield fd
    finally:
        os.close(fd)


def make_folder(name: str, parent: int | None, path: Path) -> None:
    """Make a folder that only we may enter."""
    with naming(path):
        os.mkdir(name, 0o700, dir_fd=parent)


def temporary(kind: str) -> str:
    """A fresh name for something unfinished of that kind."""
    return f"{TEMPORARY}{kind}-{secrets.token_hex(8)}"


def write(name: str, parent: int, content: bytes, path: Path, *, durable: bool = False) -> None:
    """Create a file that must not be there yet; only for a folder that nobody else sees yet.

    Raises:
        OSError: the disk is full, read-only, or broken; nothing is left of the file.
    """
    with naming(path):
        if len(content) > MAX_FILE - _CHECKSUM - 1:  # `read` would refuse it, and a DEL needs what it says
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            _write_all(fd, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            if durable:
                os.fsync(fd)
        except BaseException:
            with suppress(OSError):  # the write's error is the one to report; the next start cleans up
                os.unlink(name, dir_fd=parent)
            raise
        finally:
            os.close(fd)


def replace(name: str, parent: int, content: bytes, path: Path) -> None:
    """Write a file that is seen whole or not at all, in place of an older one of that name."""
    unfinished = temporary("tmp")
    write(unfinished, parent, content, path)
    with naming(path):
        os.rename(unfinished, name, src_dir_fd=parent, dst_dir_fd=parent)


def read(name: str, parent: int, path: Path) -> bytes | None:
    """The content of a file, or None when there is none.

    Raises:
        CorruptRecord: it is not the file we wrote.
    """
    with naming(path):
        try:
            fd = os.open(name, _READ, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO):  # a symlink, a socket
                raise
            raise CorruptRecord(path, "it is not a regular file") from error
        try:
            text = _read_all(fd, path)
        finally:
            os.close(fd)
    return _verified(text, path)


def names(fd: int) -> list[str]:
    """What an open folder holds."""
    return os.listdir(fd)


def delete(name: str, parent: int, path: Path) -> None:
    """Delete a file, a symlink (not what it points to) or a folder with all it holds; gone already is fine."""
    with naming(path), suppress(FileNotFoundError):
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except NotADirectoryError:
            os.unlink(name, dir_fd=parent)
            return
        try:
            for entry in names(fd):
                _unlink_or_tree(entry, fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=parent)


def try_delete(name: str, parent: int) -> None:
    """The same on the way back from another error, which is the one to report: the next start deletes what is left."""
    with suppress(OSError):
        delete(name, parent, Path(name))


def _unlink_or_tree(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except (IsADirectoryError, PermissionError):  # EISDIR on Linux, EPERM by POSIX: we never make a folder there
        shutil.rmtree(name, dir_fd=parent)


def _require_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise CorruptRecord(path, f"its owner is user {status.st_uid}, not {os.geteuid()}")
    if status.st_mode & 0o077:
        raise CorruptRecord(path, f"its mode is {stat.S_IMODE(status.st_mode):04o}: others may use it")


def _write_all(fd: int, content: bytes) -> None:
    written = 0
    while written < len(content):  # a disk that fills up writes a part first, and says so with the next call
        written += os.write(fd, memoryview(content)[written:])


def _read_all(fd: int, path: Path) -> bytes:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise CorruptRecord(path, "it is not a regular file")
    _require_private(status, path)
    if status.st_size > MAX_FILE:
        raise CorruptRecord(path, f"it is larger than {MAX_FILE} bytes")
    parts = []
    while part := os.read(fd, MAX_FILE):
        parts.append(part)
    return b"".join(parts)


def _verified(text: bytes, path: Path) -> bytes:
    checksum, newline, content = text[:_CHECKSUM], text[_CHECKSUM : _CHECKSUM + 1], text[_CHECKSUM + 1 :]
    if newline != b"\n":
        raise CorruptRecord(path, "it is cut short" if len(text) <= _CHECKSUM else "it does not start with a checksum")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise CorruptRecord(path, "its checksum does not match")
    return content
