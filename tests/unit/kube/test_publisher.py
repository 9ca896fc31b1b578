# SPDX-License-Identifier: Apache-2.0
"""The publisher: nobody waits for it, and its halves do not wait for each other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from metacni.kube.publisher import ApiPublisher
from metacni.kube.source import PodRef
from tests.unit.kube.fake_api import PODS, FakeApi, eventually, running

if TYPE_CHECKING:
    from metacni.kube.source import Publisher

POD = PodRef(namespace="a", name="p", uid="u")


def test_the_caller_does_not_wait(api: FakeApi) -> None:
    """With a silent server a thousand calls return at once, and the lag shows."""
    api.silent = True
    publisher: Publisher = ApiPublisher(api.access(), "node1")
    with running(publisher):
        began = time.monotonic()
        for number in range(1000):
            publisher.status(POD, f"[{number}]", lambda: None, sandbox="s")
            publisher.event(POD, reason="r", message=f"{number}", warning=False)
        assert time.monotonic() - began < 0.5
        eventually(lambda: publisher.lag_seconds > 0.1)


def test_a_status_does_not_wait_for_events(api: FakeApi) -> None:
    """While Events are refused for want of a server, a status is written, and the lag is gone."""
    api.put(PODS, "a", "p", metadata={"uid": "u"})
    publisher = ApiPublisher(api.access(), "node1")
    done = threading.Event()
    with running(publisher):
        for number in range(300):
            publisher.event(POD, reason="r", message=f"{number}", warning=False)
        publisher.status(POD, "[]", done.set, sandbox="s")
        assert done.wait(1)
        eventually(lambda: publisher.lag_seconds == 0.0)


def test_forgetting_another_sandbox_leaves_the_status(api: FakeApi) -> None:
    """The pod has a new sandbox when the DEL of its old one comes late."""
    publisher = ApiPublisher(api.access(), "node1")
    publisher.status(POD, "[]", lambda: None, sandbox="new")
    publisher.forget("old")
    assert publisher.lag_seconds > 0
    with running(publisher):
        pass


def test_stop_leaves_no_thread(api: FakeApi) -> None:
    """Both threads end within about a second, though the server is silent."""
    api.silent = True
    publisher = ApiPublisher(api.access(), "node1")
    publisher.start()
    publisher.status(POD, "[]", lambda: None, sandbox="s")
    publisher.event(POD, reason="r", message="m", warning=False)
    eventually(lambda: len(api.seen) == 2)
    began = time.monotonic()
    publisher.stop()
    assert time.monotonic() - began < 1.0
    assert not [each for each in threading.enumerate() if each.name in ("network-status", "events")]
