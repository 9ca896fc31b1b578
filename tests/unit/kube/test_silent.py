# SPDX-License-Identifier: Apache-2.0
"""The Publisher of an agent without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metacni.kube.silent import NoPublisher
from metacni.kube.source import PodRef

if TYPE_CHECKING:
    from metacni.kube.source import Publisher


def test_a_status_is_done_at_once() -> None:
    """With nobody to tell, everything counts as written (C68)."""
    publisher: Publisher = NoPublisher()
    done: list[str] = []
    pod = PodRef(namespace="a", name="p", uid="u")
    publisher.start()
    publisher.status(pod, "[]", lambda: done.append("done"), sandbox="s")
    publisher.event(pod, reason="r", message="m", warning=True)
    publisher.forget("s")
    publisher.stop()
    assert (done, publisher.lag_seconds) == (["done"], 0.0)
