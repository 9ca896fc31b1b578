# SPDX-License-Identifier: Apache-2.0
"""Steps back, whose failures must hide nothing.

One that undoes a failed ADD logs its own failure and never raises, or it would take that one's place. Of those that
take away for good all are tried, and every failure is told.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from metacni.cni.errors import CniError
from metacni.netns import devices
from metacni.netns.netlink import Netlink
from metacni.netns.sandbox import cause

log: Final = logging.getLogger("metacni.delegates")


def link(netlink: Netlink, name: str) -> None:
    """Delete the link of that name, if it is there."""
    try:
        device = devices.find(netlink, name)
        if device is not None:
            devices.delete(netlink, device.index)
    except OSError as error:
        log.warning("cannot delete link %r after a failure: %s", name, cause(error))


class Failures:
    """Several steps, each of which may fail without keeping the others from being tried."""

    def __init__(self) -> None:
        self._errors: list[CniError] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the error of one step for the end."""
        try:
            yield
        except CniError as error:
            self._errors.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._errors and error is None:
            first = self._errors[0]
            raise CniError(first.code, "; ".join(each.msg for each in self._errors), first.details)
