# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for a link that goes from one namespace to another, and for the names it is known by meanwhile.

All raise OSError; must not decide which link goes where.
"""

from typing import Final

from metacni.netns.devices import ALIAS, HEADER, NAME, NETNS_FD, OTHER_NAME, PROPERTIES, SET_LINK, UP
from metacni.netns.netlink import Netlink
from metacni.netns.wire import attribute, nested

ANY_NAME: Final = "dev%d"
"""A name of the kernel's choice."""

_NEW_PROPERTIES: Final = 108
_DELETE_PROPERTIES: Final = 109


def move(netlink: Netlink, index: int, netns_fd: int, name: str, alias: str | None = None) -> None:
    """Have a link stand in another namespace, switched off, under this name and remark; the kernel does it in one go.

    It stops where it fails: FileExistsError, the name is taken there: the link may stand there under its old one.
    """
    parts = [attribute(NETNS_FD, netns_fd), attribute(NAME, name)]
    if alias is not None:
        parts.append(attribute(ALIAS, alias.encode()))
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + b"".join(parts))


def rename(netlink: Netlink, index: int, name: str) -> None:
    """Give a link that is switched off another name. FileExistsError: it is taken."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, 0) + attribute(NAME, name))


def take_down(netlink: Netlink, index: int) -> None:
    """Switch a link off."""
    netlink.change(SET_LINK, HEADER.pack(0, 0, index, 0, UP))


def add_name(netlink: Netlink, index: int, name: str) -> None:
    """An alternative name, which goes where the link goes. FileExistsError: some link has it."""
    netlink.change(_NEW_PROPERTIES, _names(index, name))


def remove_name(netlink: Netlink, index: int, name: str) -> None:
    """Take an alternative name away. FileNotFoundError: the link does not have it."""
    netlink.change(_DELETE_PROPERTIES, _names(index, name))


def _names(index: int, name: str) -> bytes:
    return HEADER.pack(0, 0, index, 0, 0) + nested(PROPERTIES, attribute(OTHER_NAME, name))
