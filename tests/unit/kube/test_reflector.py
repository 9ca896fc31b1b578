# SPDX-License-Identifier: Apache-2.0
"""Following one collection: complete, current, calm in trouble, and quick to stop."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from metacni.kube import objects
from metacni.kube.reflector import Collection, Reflector
from metacni.kube.wire import Wire
from tests.unit.kube.fake_api import DEFINITIONS, FakeApi, HangingUp, Token, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metacni.kube.access import Access
    from metacni.kube.source import NetworkDefinition

    Follow = Callable[[Access], Reflector[NetworkDefinition]]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Give a function that follows the definitions of a server until the end of the test."""
    started: list[tuple[Wire, Reflector[NetworkDefinition]]] = []

    def start(access: Access) -> Reflector[NetworkDefinition]:
        wire = Wire(access)
        reflector = Reflector(wire, Collection(path=DEFINITIONS, keep=objects.definition))
        reflector.start()
        started.append((wire, reflector))
        return reflector

    yield start
    for wire, reflector in started:
        reflector.halt()
        wire.close()
        reflector.join(2)


def _lists(api: FakeApi) -> int:
    return len([each for each in api.asked("GET", DEFINITIONS) if "watch" not in each.query])


def _watches(api: FakeApi) -> int:
    return len(api.asked("GET", DEFINITIONS, watch="true"))


def _watched(api: FakeApi, times: int) -> bool:
    return _watches(api) == times


def test_a_long_collection_is_listed_in_pages(api: FakeApi, follow: Follow) -> None:
    """1,100 definitions come in pages of 500, and none is missing."""
    for number in range(1100):
        api.put(DEFINITIONS, "a", f"n{number}")
    reflector = follow(api.access())
    eventually(lambda: reflector.health().synced)
    assert (len(reflector), _lists(api)) == (1100, 3)
    assert {each.query["limit"] for each in api.seen if "watch" not in each.query} == {"500"}


def test_nothing_is_synced_before_the_last_page(api: FakeApi, follow: Follow) -> None:
    """A half-read collection must not look complete."""
    for number in range(600):
        api.put(DEFINITIONS, "a", f"n{number}")
    api.answers.extend([500])
    reflector = follow(api.access())
    assert (reflector.health().synced, len(reflector)) == (False, 0)
    eventually(lambda: reflector.health().synced)
    assert len(reflector) == 600


def test_changes_arrive_through_the_watch(api: FakeApi, follow: Follow) -> None:
    """Added, changed and deleted objects are followed without another list."""
    api.put(DEFINITIONS, "a", "old", spec={"config": "1"})
    api.put(DEFINITIONS, "a", "gone")
    reflector = follow(api.access())
    eventually(lambda: _watches(api))
    api.put(DEFINITIONS, "a", "new", spec={"config": "2"})
    api.put(DEFINITIONS, "a", "old", spec={"config": "3"})
    api.delete(DEFINITIONS, "a", "gone")
    eventually(lambda: reflector.get("a", "gone") is None)
    assert [each and each.config for each in (reflector.get("a", "new"), reflector.get("a", "old"))] == ["2", "3"]
    assert _lists(api) == 1


def test_a_watch_asks_for_bookmarks_and_a_jittered_end(api: FakeApi, follow: Follow) -> None:
    """The server is told when to end the watch, between 240 and 300 seconds."""
    follow(api.access())
    eventually(lambda: _watches(api))
    query = api.asked("GET", DEFINITIONS, watch="true")[0].query
    assert (query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "100")
    assert 240 <= int(query["timeoutSeconds"]) <= 300


def test_a_watch_goes_on_from_the_last_bookmark(api: FakeApi, follow: Follow) -> None:
    """After a bookmark the next watch starts there, though no object of ours changed."""
    follow(api.access())
    eventually(lambda: _watches(api))
    api.say(DEFINITIONS, "BOOKMARK", {"metadata": {"resourceVersion": "777"}})
    time.sleep(0.1)
    api.end_watches()
    eventually(lambda: _watches(api) == 2)
    assert [each.query["resourceVersion"] for each in api.asked("GET", DEFINITIONS, watch="true")] == ["100", "777"]
    assert _lists(api) == 1


def test_a_bookmark_shows_that_the_server_is_there(api: FakeApi, follow: Follow) -> None:
    """The age is the time since the server last spoke."""
    reflector = follow(api.access())
    eventually(lambda: _watches(api))
    time.sleep(0.3)
    before = reflector.health().age_seconds
    api.say(DEFINITIONS, "BOOKMARK", {"metadata": {"resourceVersion": "777"}})
    eventually(lambda: reflector.health().age_seconds < before)


def test_an_expired_version_leads_to_a_new_list(api: FakeApi, follow: Follow) -> None:
    """410 in a watch means: list again; what was deleted meanwhile is gone."""
    api.put(DEFINITIONS, "a", "gone")
    reflector = follow(api.access())
    eventually(lambda: _watches(api))
    del api.objects[DEFINITIONS]["a", "gone"]
    api.say(DEFINITIONS, "ERROR", {"code": 410, "message": "too old"})
    eventually(lambda: _lists(api) == 2)
    eventually(lambda: reflector.get("a", "gone") is None)


def test_a_watch_that_lived_is_followed_by_the_next_at_once(api: FakeApi) -> None:
    """The server's time-out, and a connection that breaks after a while, are no failures."""
    wire = Wire(api.access())
    reflector = Reflector(wire, Collection(path=DEFINITIONS, keep=objects.definition), settled_seconds=0.05)
    reflector.start()
    for number in range(1, 4):
        eventually(partial(_watched, api, number), 0.4)
        time.sleep(0.1)
        api.end_watches()
    assert reflector.health().detail == ""
    reflector.halt()
    wire.close()
    reflector.join(2)


def test_versions_that_always_expire_do_not_make_us_spin(api: FakeApi, follow: Follow) -> None:
    """A server that forgets at once is asked in growing pauses."""
    api.oldest = 10_000
    follow(api.access())
    time.sleep(2.0)
    assert _lists(api) <= 4


def test_a_watch_that_ends_at_once_does_not_make_us_spin(api: FakeApi, follow: Follow) -> None:
    """A clean end right after the beginning counts as a failure."""
    api.eager_end = True
    reflector = follow(api.access())
    time.sleep(2.0)
    assert _watches(api) <= 4
    assert "ends it at once" in reflector.health().detail


def test_an_outage_costs_few_connections_and_keeps_the_cache(outage: HangingUp, follow: Follow) -> None:
    """While the server is away attempts come in pauses of half a second and more."""
    reflector = follow(outage.access())
    time.sleep(2.0)
    assert 1 <= outage.connections <= 6
    assert (reflector.health().synced, reflector.health().detail != "") == (False, True)


def test_a_failed_watch_keeps_what_is_known(api: FakeApi, follow: Follow) -> None:
    """Errors of the server leave the objects in place, are reported, and are forgotten when it is well again."""
    api.put(DEFINITIONS, "a", "lan")
    reflector = follow(api.access())
    eventually(lambda: _watches(api))
    api.closed.add("/apis")
    api.end_watches()
    eventually(lambda: "HTTP 403" in reflector.health().detail)
    assert (reflector.get("a", "lan") is not None, reflector.health().synced) == (True, True)
    api.closed.clear()
    eventually(lambda: reflector.health().detail == "")


def test_a_cluster_without_the_resource_type_is_not_complete(api: FakeApi, follow: Follow) -> None:
    """Without the CRD nothing can be said of definitions; the reason is shown, and its arrival is noticed."""
    api.answers.append(404)
    reflector = follow(api.access())
    eventually(lambda: "is its CRD applied?" in reflector.health().detail)
    assert not reflector.health().synced
    api.put(DEFINITIONS, "a", "lan")
    eventually(lambda: reflector.get("a", "lan"))
    assert reflector.health().synced


def test_a_token_that_rotates_is_no_failure(api: FakeApi, follow: Follow) -> None:
    """A 401 with a new token in the file is settled within the call."""
    reflector = follow(api.access(Token("old", "good")))
    eventually(lambda: reflector.health().synced)
    assert reflector.health().detail == ""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"metadata": {"name": 1}}, id="a name that is none"),
        pytest.param({}, id="no metadata"),
        pytest.param({"metadata": {"namespace": "a"}}, id="no name"),
    ],
)
def test_an_odd_object_is_left_out(api: FakeApi, follow: Follow, body: dict[str, object]) -> None:
    """An object that cannot be one is skipped; the watch goes on."""
    reflector = follow(api.access())
    eventually(lambda: _watches(api))
    api.say(DEFINITIONS, "ADDED", body)
    api.put(DEFINITIONS, "a", "lan")
    eventually(lambda: reflector.get("a", "lan"))
    assert len(reflector) == 1


@pytest.mark.parametrize("silent", [pytest.param(False, id="in a watch"), pytest.param(True, id="in a list")])
def test_a_blocked_thread_ends_within_a_second(api: FakeApi, silent: bool) -> None:  # noqa: FBT001
    """Stopping does not wait for the server's next byte."""
    api.silent = silent
    wire = Wire(api.access())
    reflector = Reflector(wire, Collection(path=DEFINITIONS, keep=objects.definition))
    reflector.start()
    eventually(lambda: api.seen if silent else _watches(api))
    began = time.monotonic()
    reflector.halt()
    wire.close()
    reflector.join(5)
    assert (reflector._thread.is_alive(), time.monotonic() - began < 1.0) == (False, True)
