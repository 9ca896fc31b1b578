# SPDX-License-Identifier: Apache-2.0
"""The Publisher of an agent without a cluster: there is nobody to tell (C68).

Apart from the real one so that a node without an API server never loads the Kubernetes client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacni.kube.source import PodRef


class NoPublisher:
    """Takes everything for written."""

    lag_seconds = 0.0

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def status(self, pod: PodRef, text: str, done: Callable[[], None], *, sandbox: str) -> None:  # noqa: ARG002 - the Protocol's shape
        """Be done at once."""
        done()

    def event(self, pod: PodRef, *, reason: str, message: str, warning: bool) -> None:
        """Do nothing."""

    def forget(self, sandbox: str) -> None:
        """Do nothing."""
