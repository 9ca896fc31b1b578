# SPDX-License-Identifier: Apache-2.0
"""The kernel's refusals as errors of ours: what we were at, and why not. Must not choose what is fine by text."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.netns.sandbox import cause

_OUT_OF_TIME: Final = (errno.EINTR, errno.ETIMEDOUT, errno.EBUSY)


@contextmanager
def failing(what: str, *, code: Code = Code.IO, hint: str = "", fine: type[OSError] | None = None) -> Iterator[None]:
    """Make an OSError into `<what>: <cause>`; one kind of it may be fine.

    Raises:
        CniError: code 11 when trying again may help, otherwise `code`.
    """
    try:
        yield
    except OSError as error:
        if fine is not None and isinstance(error, fine):
            return
        again = error.errno in _OUT_OF_TIME
        raise CniError(Code.TRY_AGAIN if again else code, f"{what}: {cause(error)}", hint) from error
