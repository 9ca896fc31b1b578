# SPDX-License-Identifier: Apache-2.0
"""A refusal of the kernel becomes an error that says what we were at."""

import errno
import os

import pytest

from metacni.cni.errors import CniError, Code
from metacni.netns.failures import failing


def refuse(number: int) -> None:
    """Raise as the kernel does."""
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "code", "msg"),
    [
        pytest.param(errno.EPERM, 5, "cannot try: operation not permitted", id="refused"),
        pytest.param(errno.EINTR, 11, "cannot try: interrupted system call", id="interrupted"),
        pytest.param(errno.ETIMEDOUT, 11, "cannot try: connection timed out", id="no-answer"),
    ],
)
def test_a_refusal_says_what_and_why(number: int, code: int, msg: str) -> None:
    """And whether trying again may help."""
    with pytest.raises(CniError) as caught, failing("cannot try"):
        refuse(number)
    assert (caught.value.code, caught.value.msg) == (code, msg)


def test_one_kind_may_be_fine() -> None:
    """That one alone."""
    with failing("cannot try", fine=FileExistsError):
        refuse(errno.EEXIST)
    with pytest.raises(CniError), failing("cannot try", fine=FileExistsError):
        refuse(errno.EPERM)


def test_an_error_of_ours_passes_as_it_is() -> None:
    """It says already what it has to say."""
    with pytest.raises(CniError, match=r"^ours$"), failing("cannot try"):
        raise CniError(Code.CONFIG, "ours")
