# SPDX-License-Identifier: Apache-2.0
"""One setting of a pod, by the descriptor that the opener opened there: read whole and written whole.

Unlike `sysctl` it writes also what stands there already: a setting that was written once no longer follows the default.
Raises OSError.
"""

import errno
import os
from typing import Final

_MAX: Final = 1 << 16


def read(fd: int) -> str:
    """What it says, without the line end."""
    return os.pread(fd, _MAX, 0).decode(errors="replace").removesuffix("\n")


def write(fd: int, value: str) -> None:
    """Have it say that. The kernel takes a value in one piece or refuses it."""
    data = value.encode()
    if os.pwrite(fd, data, 0) != len(data):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
