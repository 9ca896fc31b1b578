# SPDX-License-Identifier: Apache-2.0
"""What plugins have in common that work on an interface which another plugin of the list has made.

Must not know what they do to it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from delegates import _disk
from delegates._call import Call, Conf
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Result
from metacni.netns.failures import failing

PATIENCE: Final = 5.0
"""Seconds to wait for whoever works in the same pod: it takes milliseconds."""


def previous(call: Call[Conf]) -> Result:
    """The result of the plugins before this one, without which there is nothing to work on.

    Raises:
        CniError: code 7, there is none.
    """
    if call.prev_result is None:
        hint = "this plugin stands in a list, behind the one that makes the interface"
        raise CniError(Code.CONFIG, f"cannot serve {call.environment.verb}: key 'prevResult' is missing", hint)
    return call.prev_result


def missing(ifname: str) -> CniError:
    """What to say when the interface is not there, though a plugin before should have made it."""
    return CniError(Code.CONFIG, f"cannot work on interface {ifname!r}: the pod has none of that name")


@contextmanager
def locked(call: Call[Conf]) -> Iterator[None]:
    """Be the only one who chooses a routing table in this pod; the reference's sbr takes the same lock.

    It belongs to the namespace, whichever path led to it.

    Raises:
        CniError: code 11, somebody holds it: a process of the pod can, to its own harm.
    """
    with failing("cannot lock the pod's network namespace"):
        fd = os.open(f"/proc/self/fd/{call.netns()}", os.O_RDONLY | os.O_CLOEXEC)  # a lock of our own, not the fd's
    try:
        with failing("cannot lock the pod's network namespace", hint="a process of the pod may hold the lock"):
            _disk.lock(fd, PATIENCE)
        yield
    finally:
        os.close(fd)
