# SPDX-License-Identifier: Apache-2.0
"""What the commands share."""

from metacni.cli import demo, install
from metacni.cli.command import CommandError


def test_every_command_fails_with_the_one_error_that_main_knows() -> None:
    """A second class of that name would end as a traceback."""
    assert demo.CommandError is CommandError  # type: ignore[attr-defined]  # not exported, and that is the point
    assert install.CommandError is CommandError  # type: ignore[attr-defined]  # likewise
