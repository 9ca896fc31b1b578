# SPDX-License-Identifier: Apache-2.0
"""Settings below /proc/sys/net: the node's by path, a pod's by descriptors that the opener opened there.

In a thread that works for a pod /proc/sys/net is the node's: so what is written here for a pod is never a path.
Names are written with `/`, since those of interfaces may hold dots (E7). Raises OSError.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NODE: Final = Path("/proc/sys/net")
_MAX: Final = 64


def write_node(root: Path, name: str, value: str) -> None:
    """Set one of the node's, below `root`; what has the value already is not written, as it might be read-only."""
    fd = os.open(root / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        same = os.read(fd, _MAX).strip() == value.encode()
    finally:
        os.close(fd)
    if not same:
        fd = os.open(root / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def write_pod(opened: Mapping[str, int], name: str, value: str) -> bool:
    """Set one of the pod's; False when the pod has no such setting, as without IPv6."""
    fd = opened.get(name)
    if fd is None:
        return False
    if os.pread(fd, _MAX, 0).strip() != value.encode():
        os.pwrite(fd, value.encode(), 0)
    return True
