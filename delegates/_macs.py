# SPDX-License-Identifier: Apache-2.0
"""MACs of our own choice: one that the kernel chose udev may replace, in its own time, after it was told to a pod."""

import secrets
from typing import Final

_NO_GROUP: Final = 0xFC
_LOCAL: Final = 0x02


def random() -> str:
    """Neither a manufacturer's nor a group's."""
    first, *others = secrets.token_bytes(6)
    return bytes([first & _NO_GROUP | _LOCAL, *others]).hex(":")
