# SPDX-License-Identifier: Apache-2.0
"""Events: whole, aggregated, and the first to be dropped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from metacni.kube.events import EventWriter
from metacni.kube.source import PodRef
from metacni.kube.wire import Wire
from tests.unit.kube.fake_api import FakeApi, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

POD = PodRef(namespace="a", name="p", uid="u")
PATH = "/api/v1/namespaces/a/events"


@pytest.fixture
def writer(api: FakeApi) -> Iterator[EventWriter]:
    """Give a running writer."""
    wire = Wire(api.access())
    started = EventWriter(wire, "node1")
    started.outbox.start()
    yield started
    started.outbox.halt()
    wire.close()
    started.outbox.join(2)


def _added(writer: EventWriter, message: str = "Add net1") -> None:
    writer.put(POD, reason="AddedInterface", message=message, warning=False)


def test_an_event_is_what_kubectl_shows(api: FakeApi, writer: EventWriter) -> None:
    """Type, reason, message, pod, component, node and times are those of a core/v1 Event (C71)."""
    writer.put(POD, reason="NoNetworkFound", message="no network 'x'", warning=True)
    eventually(lambda: api.asked("POST", PATH))
    body = api.asked("POST", PATH)[0].body
    assert body.pop("firstTimestamp") == body.pop("lastTimestamp")
    assert body["metadata"].pop("name").startswith("p.")
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "a"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "a", "name": "p", "uid": "u"},
        "type": "Warning",
        "reason": "NoNetworkFound",
        "message": "no network 'x'",
        "source": {"component": "metacni", "host": "node1"},
        "reportingComponent": "metacni",
        "reportingInstance": "node1",
        "count": 1,
    }


def test_a_repeated_event_counts_up_at_most_twice_a_minute(api: FakeApi, writer: EventWriter) -> None:
    """The second and third within half a minute are kept in mind, not sent."""
    for _ in range(3):
        _added(writer)
        eventually(lambda: not len(writer.outbox))
    time.sleep(0.1)
    assert (len(api.asked("POST", PATH)), [each for each in api.seen if each.method == "PATCH"]) == (1, [])


def test_what_repeats_before_it_is_sent_is_sent_once_with_its_count(api: FakeApi) -> None:
    """During an outage repetitions of one Event gather in one letter."""
    wire = Wire(api.access())
    writer = EventWriter(wire, "node1")
    for _ in range(5):
        _added(writer)
    writer.outbox.start()
    eventually(lambda: api.asked("POST", PATH))
    assert [each.body["count"] for each in api.asked("POST", PATH)] == [5]
    writer.outbox.halt()
    wire.close()
    writer.outbox.join(2)


def test_an_old_event_is_counted_by_a_patch(api: FakeApi, writer: EventWriter) -> None:
    """After half a minute a repetition sets count and time of the Event that is there."""
    _added(writer)
    eventually(lambda: not len(writer.outbox))
    (event,) = writer._recent.values()
    event.sent_at -= 31
    _added(writer)
    eventually(lambda: [each for each in api.seen if each.method == "PATCH"])
    (patch,) = [each for each in api.seen if each.method == "PATCH"]
    assert (patch.path, patch.body["count"]) == (f"{PATH}/{event.name}", 2)


def test_after_ten_minutes_it_is_a_new_event(api: FakeApi, writer: EventWriter) -> None:
    """What happened long ago is not counted on."""
    _added(writer)
    eventually(lambda: not len(writer.outbox))
    (event,) = writer._recent.values()
    event.began -= 601
    _added(writer)
    eventually(lambda: len(api.asked("POST", PATH)) == 2)


def test_different_messages_are_different_events(api: FakeApi, writer: EventWriter) -> None:
    """Only the same reason and message count up."""
    _added(writer, "Add net1")
    _added(writer, "Add net2")
    eventually(lambda: len(api.asked("POST", PATH)) == 2)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refused_event_is_dropped(api: FakeApi, writer: EventWriter, status: int) -> None:
    """An Event is not worth a second try when the server says no."""
    api.answers.append(status)
    _added(writer)
    eventually(lambda: api.seen and not len(writer.outbox))
    assert len(api.asked("POST", PATH)) == 1


def test_an_event_survives_a_short_outage(api: FakeApi, writer: EventWriter) -> None:
    """When the server is away the Event waits."""
    api.answers.append(503)
    _added(writer)
    eventually(lambda: len(api.asked("POST", PATH)) == 2)


def test_the_queue_is_bounded(api: FakeApi) -> None:
    """A thousand Events during an outage leave the newest 256."""
    writer = EventWriter(Wire(api.access()), "node1")
    for number in range(1000):
        _added(writer, f"Add net{number}")
    assert (len(writer.outbox), writer.outbox.dropped, len(writer._recent) <= 1024) == (256, 744, True)


def test_a_long_message_is_cut_at_a_character(api: FakeApi, writer: EventWriter) -> None:
    """The API takes 1,024 bytes; a character is not cut in two."""
    _added(writer, "ü" * 1000)
    eventually(lambda: api.asked("POST", PATH))
    assert api.asked("POST", PATH)[0].body["message"] == "ü" * 512
