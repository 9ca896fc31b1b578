# SPDX-License-Identifier: Apache-2.0
"""What the commands share: how one says that it cannot do what it was asked."""


class CommandError(Exception):
    """A command cannot do what it was asked; the text is one line for the person who typed it."""
