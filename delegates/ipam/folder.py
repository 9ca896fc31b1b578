# SPDX-License-Identifier: Apache-2.0
"""A network's folder of leases, opened once and then worked by its descriptor. Must not know what stands in it."""

import os
from pathlib import Path
from typing import Final

from delegates import _disk
from metacni.netns.failures import failing

_WHAT: Final = "lease folder"


def make(data_dir: Path, network: str, mode: int = 0o755) -> int:
    """A descriptor of the folder of a network, made if it is not there; the folders above are everybody's to read.

    Raises:
        CniError: code 5, it cannot be made, or is a symbolic link or no folder.
    """
    path = data_dir / network
    with failing(f"cannot make lease folder {str(path)!r}"):
        data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = _disk.folder(data_dir, what=_WHAT)
    try:
        with failing(f"cannot make lease folder {str(path)!r}", fine=FileExistsError):
            os.mkdir(network, mode, dir_fd=fd)
        return _disk.folder(path, fd, what=_WHAT)
    finally:
        os.close(fd)


def existing(data_dir: Path, network: str) -> int | None:
    """A descriptor of the folder of a network, None if there is none: to look or to give back makes nothing (F16).

    Raises:
        CniError: as `make`.
    """
    try:
        fd = _disk.folder(data_dir, what=_WHAT)
        try:
            return _disk.folder(data_dir / network, fd, what=_WHAT)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
