# SPDX-License-Identifier: Apache-2.0
"""host-local's folder of leases, the same to the byte, so that either program releases what the other leased (F13).

One file for each address, there exclusively and with its holder from its first moment: a writer that is killed leaves
no lease that nobody can give back. `ls` is the debugger. No symbolic link is followed. Everything happens under the
reference's lock.
"""

import errno
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from delegates import _disk
from delegates._text import Ip
from delegates.ipam import folder
from delegates.ipam.allocator import Holder
from metacni.netns.failures import failing

LOCK: Final = "lock"
LAST: Final = "last_reserved_ip."
ABANDONED: Final = 60.0
"""Seconds after which a file that names no holder is nobody's: its writer was killed before it wrote."""

_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocking: somebody may have put a pipe there
_NO_TMPFILE: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)  # from file systems and kernels without it
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
                _disk.lock(self._lock)
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
            if self._is_abandoned(name):
                self._remove(name)
            try:
                self._create(name, _exact(holder))
            except FileExistsError:
                return False
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
        for name in self._names():
            if _address(name) is None:
                continue
            text = self._read(name)
            if text not in kept if text else self._is_abandoned(name):
                self._remove(name)

    def taken(self) -> set[Ip]:
        """All addresses that somebody has."""
        names = self._names()
        return {address for name in names if (address := _address(name)) is not None and not self._is_abandoned(name)}

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

    def _create(self, name: str, text: bytes) -> None:
        """A file that has its text when it gets its name, where the file system can do that. Raises OSError."""
        try:
            fd = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=self._fd)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            return self._create_empty_first(name, text)
        try:
            _write(fd, text)
            return os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=self._fd)  # fails when it is there
        finally:
            os.close(fd)

    def _create_empty_first(self, name: str, text: bytes) -> None:
        """As the reference does it."""
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=self._fd)
        try:
            _fill(fd, text)
        except BaseException:
            os.unlink(name, dir_fd=self._fd)
            raise

    def _is_abandoned(self, name: str) -> bool:
        """Whether a file has been empty for longer than any writer needs, who would hold the lock besides."""
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and not status.st_size and time.time() - status.st_mtime > ABANDONED

    def _remove(self, name: str) -> None:
        with failing(f"cannot remove lease {name!r} in folder {str(self._path)!r}", fine=FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)


def make(data_dir: Path, network: str) -> Folder:
    """The folder of a network, made if it is not there. Raises CniError: as folder.make."""
    return Folder(data_dir / network, folder.make(data_dir, network))


@contextmanager
def existing(data_dir: Path, network: str) -> Iterator[Folder | None]:
    """The locked folder of a network, None if there is none. Raises CniError: as folder.make."""
    fd = folder.existing(data_dir, network)
    if fd is None:
        yield None
        return
    with Folder(data_dir / network, fd) as found:
        yield found


def _fill(fd: int, text: bytes) -> None:
    try:
        _write(fd, text)
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def _write(fd: int, text: bytes) -> None:
    if os.write(fd, text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _exact(holder: Holder) -> bytes:
    return holder.container.encode() + _SEPARATOR + holder.ifname.encode()


def _old(holder: Holder) -> bytes:
    return holder.container.encode()


def _address(name: str) -> Ip | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
