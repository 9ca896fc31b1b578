# SPDX-License-Identifier: Apache-2.0
"""Folders on the node, and locks: for delegates that keep something on disk, or of which one must wait for another.

No symbolic link is followed: a path that users may name must not lead root elsewhere. Must not know what stands in a
folder, nor what a lock is for.
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


def folder(path: Path, parent: int | None = None, *, what: str = "folder") -> int:
    """A descriptor of a folder; with `parent`, an open one, of the folder of that last name in it.

    Raises:
        FileNotFoundError: there is none.
        CniError: code 5, anything else is wrong; `what` names it.
    """
    try:
        return os.open(path if parent is None else path.name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            hint = "symbolic links are not followed: give the folder itself as 'dataDir'"
            raise CniError(Code.IO, f"cannot open {what} {str(path)!r}: a symbolic link, or no folder", hint) from error
        with failing(f"cannot open {what} {str(path)!r}"):
            raise


def lock(fd: int, patience: float = PATIENCE) -> None:
    """Lock an open file or folder, as flock does; another thread of ours is like another program.

    Raises:
        OSError: EBUSY, it is held for longer than that many seconds.
    """
    end = time.monotonic() + patience
    pause = 0.0005
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
