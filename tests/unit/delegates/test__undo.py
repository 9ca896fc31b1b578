# SPDX-License-Identifier: Apache-2.0
"""Steps back hide nothing."""

import logging

import pytest

from delegates import _undo
from metacni.cni.errors import CniError, Code
from tests.unit.netns.kernels import Kernel, ack, handle


def test_an_undo_that_fails_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """Or it would take the place of what went wrong before."""
    with caplog.at_level(logging.WARNING):
        _undo.link(handle(Kernel([ack(1)])), "veth1")
    assert caplog.messages == ["cannot delete link 'veth1' after a failure: operation not permitted"]


def test_every_failure_of_several_steps_is_told() -> None:
    """With the first one's code and hint."""
    done = []

    def step(number: int) -> None:
        done.append(number)
        if number != 1:
            raise CniError(Code.IO + number, f"step {number}", "hint")

    def steps() -> None:
        with _undo.Failures() as failures:
            for number in range(3):
                with failures.collected():
                    step(number)

    with pytest.raises(CniError) as caught:
        steps()
    assert done == [0, 1, 2]
    assert (caught.value.code, caught.value.msg, caught.value.details) == (5, "step 0; step 2", "hint")


def test_no_failure_is_no_error() -> None:
    """The usual case."""
    with _undo.Failures() as failures, failures.collected():
        pass
