# SPDX-License-Identifier: Apache-2.0
"""host-local's folder of leases, the same to the byte, so that either program releases what the other leased (F13).

One file for each address, created exclusively: reserving is one system call, and `ls` is the debugger. The folder is
opened once and worked by its descriptor, and no symbolic link is followed in it: a path that users may name must not
lead root elsewhere. Everything happens under the reference's lock.
"""

import errno
import fcntl
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from delegates._text import Ip
from delegates.ipam.allocator import Holder
from metacni.cni.errors import CniError, Code
from metacni.netns.failures import failing

LOCK: Final = "lock"
LAST: Final = "last_reserved_ip."
PATIENCE: Final = 10.0
"""Seconds to wait for the lock, which is held for milliseconds."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocking: somebody may have put a pipe there
_MAX: Final = 1024  # bytes of a lease that are looked at
_SEPARATOR: Final = b"\r\n"


class Folder:
    """The leases of one network, locked from `with` to its end."""

    def __init__(self, path: Path, fd: int) -> None:
        """Take over the open folder."""
        self._path = path
        self._fd = fd
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            with failing(f"cannot lock lease folder {str(self._path)!r}"):
                self._lock = os.open(LOCK, os.O_RDONLY | os.O_CREAT | _FILE, 0o750, dir_fd=self._fd)
                _flock(self._lock)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        os.close(self._fd)

    def held(self, holder: Holder) -> Sequence[Ip]:
        """The addresses of a holder; a file of the oldest form is its whatever the interface (F14)."""
        wanted = (_exact(holder), _old(holder))
        return [address for name, text in self._files() if text in wanted and (address := _address(name)) is not None]

    def reserve(self, address: Ip, holder: Holder) -> bool:
        """Take an address; False when somebody has it."""
        name = str(address)
        with failing(f"cannot write lease {name!r} in folder {str(self._path)!r}"):
            try:
                fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=self._fd)
            except FileExistsError:
                return False
            try:
                _fill(fd, _exact(holder))
            except BaseException:
                os.unlink(name, dir_fd=self._fd)
                raise
        return True

    def free(self, address: Ip, holder: Holder) -> None:
        """Give back an address, if it is still the holder's."""
        name = str(address)
        if self._read(name) == _exact(holder):
            self._remove(name)

    def last(self, number: int) -> Ip | None:
        """The address that a set gave last; what cannot be read is no reason to fail (F7)."""
        text = self._read(f"{LAST}{number}")
        return _address(text.decode(errors="replace")) if text else None

    def remember(self, number: int, address: Ip) -> None:
        """Keep it, as text. Not truncated first: for that ext4 waits for its disk."""
        name = f"{LAST}{number}"
        with failing(f"cannot write {name!r} in lease folder {str(self._path)!r}"):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | _FILE, 0o600, dir_fd=self._fd)
            _fill(fd, str(address).encode())

    def release(self, holder: Holder) -> None:
        """Give back all that a holder has; nothing found is fine (F15)."""
        files = list(self._files())
        exact = [name for name, text in files if text == _exact(holder)]
        for name in exact or [name for name, text in files if text == _old(holder)]:
            self._remove(name)

    def release_others(self, valid: Collection[Holder]) -> None:
        """Give back all that nobody of these has (F20); what is no address's file is not touched."""
        kept = {_exact(holder) for holder in valid} | {_old(holder) for holder in valid}
        for name, text in list(self._files()):
            if text not in kept and _address(name) is not None:
                self._remove(name)

    def taken(self) -> set[Ip]:
        """All addresses that somebody has."""
        return {address for name in self._names() if (address := _address(name)) is not None}

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """Each file of an address that can be read, and what it says."""
        for name in self._names():
            if name != LOCK and not name.startswith(LAST) and (text := self._read(name)):
                yield name, text

    def _names(self) -> Sequence[str]:
        with failing(f"cannot list lease folder {str(self._path)!r}"):
            return os.listdir(self._fd)  # noqa: PTH208 - a descriptor, not a path

    def _read(self, name: str) -> bytes:
        """A file's text without the space around it; empty when it cannot be read."""
        try:
            fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=self._fd)
        except OSError:
            return b""
        try:
            return os.read(fd, _MAX).strip()
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _remove(self, name: str) -> None:
        with failing(f"cannot remove lease {name!r} in folder {str(self._path)!r}", fine=FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)


def make(data_dir: Path, network: str) -> Folder:
    """The folder of a network, made if it is not there.

    Raises:
        CniError: code 5, it cannot be made, or is a symbolic link or no folder.
    """
    path = data_dir / network
    with failing(f"cannot make lease folder {str(path)!r}"):
        data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = _open(data_dir)
    try:
        with failing(f"cannot make lease folder {str(path)!r}", fine=FileExistsError):
            os.mkdir(network, 0o755, dir_fd=fd)
        return Folder(path, _open(path, fd))
    finally:
        os.close(fd)


@contextmanager
def existing(data_dir: Path, network: str) -> Iterator[Folder | None]:
    """The locked folder of a network, None if there is none: whoever only looks or gives back makes nothing (F16).

    Raises:
        CniError: as `make`.
    """
    try:
        fd = _open(data_dir)
        try:
            folder = Folder(data_dir / network, _open(data_dir / network, fd))
        finally:
            os.close(fd)
    except FileNotFoundError:
        yield None
        return
    with folder:
        yield folder


def _open(path: Path, parent: int | None = None) -> int:
    """Raises FileNotFoundError as it is, everything else as CniError."""
    name = path if parent is None else path.name
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            hint = "symbolic links are not followed: give the folder itself as 'dataDir'"
            raise CniError(
                Code.IO, f"cannot open lease folder {str(path)!r}: a symbolic link, or no folder", hint
            ) from error
        with failing(f"cannot open lease folder {str(path)!r}"):
            raise


def _flock(fd: int) -> None:
    """Lock as the reference does, for each look or change; another thread of ours is like another program."""
    patience = time.monotonic() + PATIENCE
    pause = 0.0005
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


def _fill(fd: int, text: bytes) -> None:
    try:
        if os.write(fd, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def _exact(holder: Holder) -> bytes:
    return holder.container.encode() + _SEPARATOR + holder.ifname.encode()


def _old(holder: Holder) -> bytes:
    return holder.container.encode()


def _address(name: str) -> Ip | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
