# SPDX-License-Identifier: Apache-2.0
"""Deleting a pod's links with one kernel operation, guarded against what the pod may have done to the group.

Each deletion waits for the kernel's RCU, some 25 ms, for a group only once. But a pod with NET_ADMIN can put `lo` in
the group (then the kernel deletes nothing), take a link out, or move one of its own in. So the group is used only when
it holds exactly what is recorded; what is recorded is then gone in any case, and nothing else.
"""

import errno
from collections.abc import Iterable
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.netns import devices
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.sandbox import cause

GROUP: Final = 0x6D636E69
"""The group of the links that metacni makes in pods: a number nobody chooses by chance ("mcni")."""


def delete(netlink: Netlink, recorded: Iterable[int], group: int = GROUP) -> None:
    """Delete the recorded links of a pod: together when the group is as we left it, else one by one.

    Args:
        netlink: a handle to the pod.
        recorded: indexes of links that we made there; those that are gone are fine.
        group: the group they were put in when made.

    Raises:
        CniError: code 5; all the others were deleted nevertheless.
    """
    wanted = frozenset(recorded)
    if not wanted:
        return
    with failing("cannot list the links of the pod"):
        links = devices.every(netlink)
    standing = {link.index for link in links} & wanted
    if not standing:
        return
    if {link.index for link in links if link.group == group} == standing and _together(netlink, group):
        return
    _one_by_one(netlink, sorted(standing))


def _together(netlink: Netlink, group: int) -> bool:
    try:
        devices.delete_group(netlink, group)
    except OSError:  # `lo` came in meanwhile, or a link that cannot be deleted so: it is tried, and told of, one by one
        return False
    return True


def _one_by_one(netlink: Netlink, indexes: Iterable[int]) -> None:
    failed: dict[int, OSError] = {}
    for index in indexes:
        try:
            devices.delete(netlink, index)
        except OSError as error:
            failed[index] = error
    if failed:
        told = "; ".join(f"link {index}: {cause(error)}" for index, error in failed.items())
        again = all(error.errno == errno.ETIMEDOUT for error in failed.values())
        raise CniError(Code.TRY_AGAIN if again else Code.IO, f"cannot delete links of the pod: {told}")
