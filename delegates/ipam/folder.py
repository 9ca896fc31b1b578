# SPDX-License-Identifier: Apache-2.0
"""A network's folder of leases, opened once and then worked by its descriptor.

No symbolic link is followed: a path that users may name must not lead root elsewhere. Must not know what stands in the
folder.
"""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.netns.failures import failing

PATIENCE: Final = 10.0
"""Seconds to wait for a lock, which is held for milliseconds."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(data_dir: Path, network: str, mode: int = 0o755) -> int:
    """A descriptor of the folder of a network, made if it is not there; the folders above are everybody's to read.

    Raises:
        CniError: code 5, it cannot be made, or is a symbolic link or no folder.
    """
    path = data_dir / network
    with failing(f"cannot make lease folder {str(path)!r}"):
        data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = _open(data_dir)
    try:
        with failing(f"cannot make lease folder {str(path)!r}", fine=FileExistsError):
            os.mkdir(network, mode, dir_fd=fd)
        return _open(path, fd)
    finally:
        os.close(fd)


def existing(data_dir: Path, network: str) -> int | None:
    """A descriptor of the folder of a network, None if there is none: to look or to give back makes nothing (F16).

    Raises:
        CniError: as `make`.
    """
    try:
        fd = _open(data_dir)
        try:
            return _open(data_dir / network, fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None


def lock(fd: int) -> None:
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
