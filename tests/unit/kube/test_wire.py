# SPDX-License-Identifier: Apache-2.0
"""One call to the API server: bounds, tokens, errors, and being woken from a blocked read."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from kubernetes.client.configuration import Configuration

from metacni.kube import errors
from metacni.kube.access import Access
from metacni.kube.wire import MERGE_PATCH, Ask, Wire
from tests.unit.kube.fake_api import DEFINITIONS, PODS, FakeApi, HangingUp, Token, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NAD = "/apis/k8s.cni.cncf.io/v1/namespaces/a/network-attachment-definitions/lan"


@pytest.fixture
def wire(api: FakeApi) -> Iterator[Wire]:
    """Give a wire to the fake API server."""
    opened = Wire(api.access())
    yield opened
    opened.close()


def test_a_call_returns_the_object(api: FakeApi, wire: Wire) -> None:
    """A GET returns the parsed JSON object."""
    api.put(DEFINITIONS, "a", "lan", spec={"config": "{}"})
    assert wire.call(Ask(path=NAD, seconds=5))["spec"] == {"config": "{}"}


def test_a_body_travels_with_its_content_type(api: FakeApi, wire: Wire) -> None:
    """A merge patch arrives as JSON under its own content type."""
    api.put(PODS, "a", "p", metadata={"uid": "u"})
    path = "/api/v1/namespaces/a/pods/p/status"
    wire.call(Ask(method="PATCH", path=path, body={"metadata": {"uid": "u"}}, content_type=MERGE_PATCH, seconds=5))
    seen = api.seen[-1]
    assert (seen.headers["Content-Type"], seen.body) == ("application/merge-patch+json", {"metadata": {"uid": "u"}})


def test_calls_share_one_connection(api: FakeApi, wire: Wire) -> None:
    """A finished call gives its connection back, so that the next needs no new one."""
    api.put(DEFINITIONS, "a", "lan")
    for _ in range(5):
        wire.call(Ask(path=NAD, seconds=5))
    assert api.connections == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(403, errors.Forbidden, id="forbidden"),
        pytest.param(404, errors.NotFound, id="not found"),
        pytest.param(410, errors.Gone, id="gone"),
        pytest.param(500, errors.SourceUnavailable, id="server error"),
    ],
)
def test_an_error_answer_is_our_error(api: FakeApi, wire: Wire, status: int, expected: type[Exception]) -> None:
    """An HTTP error becomes our type, with what the server said in one line."""
    api.answers.append(status)
    with pytest.raises(expected) as caught:
        wire.call(Ask(path=NAD, seconds=5))
    assert str(caught.value) == f"cannot get '{NAD}': as the test wants it (HTTP {status})"


def test_no_foreign_exception_leaks_on_a_refused_connection(outage: HangingUp) -> None:
    """A connection that is closed at once is SourceUnavailable."""
    with pytest.raises(errors.SourceUnavailable):
        Wire(outage.access()).call(Ask(path=NAD, seconds=5))


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("http://127.0.0.1:1", id="nothing listens"),
        pytest.param("https://127.0.0.1:1", id="nothing listens, TLS"),
        pytest.param("http://no-such-host.invalid", id="no such name"),
        pytest.param("gopher://127.0.0.1", id="no such scheme"),
        pytest.param("http://127.0.0.1:99999", id="no such port"),
    ],
)
def test_no_foreign_exception_leaks_on_a_bad_address(host: str) -> None:
    """Whatever is wrong with the address, it is SourceUnavailable in one line."""
    configuration = Configuration(host=host)
    with pytest.raises(errors.SourceUnavailable) as caught:
        Wire(Access(configuration=configuration, credentials=Token())).call(Ask(path=NAD, seconds=2))
    assert str(caught.value).startswith(f"cannot get '{NAD}': ")
    assert "\n" not in str(caught.value)


def test_a_refused_connection_names_the_plain_cause() -> None:
    """The message holds the system's word, not three layers of urllib3."""
    access = Access(configuration=Configuration(host="http://127.0.0.1:1"), credentials=Token())
    with pytest.raises(errors.SourceUnavailable, match=r"^cannot get '/a': connection refused$"):
        Wire(access).call(Ask(path="/a", seconds=2))


def test_a_call_ends_at_its_deadline(api: FakeApi, wire: Wire) -> None:
    """A server that takes the request and is silent costs the given time, no more."""
    api.silent = True
    began = time.monotonic()
    with pytest.raises(errors.SourceUnavailable, match="no answer in time"):
        wire.call(Ask(path=NAD, seconds=0.3))
    assert time.monotonic() - began < 0.8


def test_a_refused_token_is_read_again_once(api: FakeApi) -> None:
    """After 401 the new token is sent; the call succeeds without the caller's doing."""
    api.put(DEFINITIONS, "a", "lan")
    wire = Wire(api.access(Token("old", "good")))
    wire.call(Ask(path=NAD, seconds=5))
    assert [each.headers["Authorization"] for each in api.seen] == ["Bearer old", "Bearer good"]
    wire.close()


def test_a_token_that_stays_refused_is_sent_once(api: FakeApi) -> None:
    """Without another token there is no second try, and 401 means: unavailable for now."""
    wire = Wire(api.access(Token("old")))
    with pytest.raises(errors.SourceUnavailable, match="HTTP 401"):
        wire.call(Ask(path=NAD, seconds=5))
    assert len(api.seen) == 1
    wire.close()


def test_no_error_holds_the_token(api: FakeApi) -> None:
    """A token must not reach a log by way of an error text."""
    wire = Wire(api.access(Token("s3cret\nX-Injected: 1")))
    with pytest.raises(errors.SourceUnavailable) as caught:
        wire.call(Ask(path=NAD, seconds=5))
    assert "s3cret" not in str(caught.value)
    assert api.seen == []


def test_a_watch_gives_events_as_they_come(api: FakeApi, wire: Wire) -> None:
    """Each event is there when it happens, not when the watch ends."""
    ask = Ask(path=DEFINITIONS, query={"watch": "true", "resourceVersion": "0"}, seconds=5)
    with wire.watch(ask) as events:
        api.put(DEFINITIONS, "a", "one")
        first = next(events)
        api.put(DEFINITIONS, "a", "two")
        second = next(events)
    assert [first["type"], second["type"]] == ["ADDED", "ADDED"]


def test_closing_wakes_a_blocked_watch(api: FakeApi, wire: Wire) -> None:
    """A thread that waits for the next event ends at once with our error."""
    ended: list[float] = []
    ask = Ask(path=DEFINITIONS, query={"watch": "true", "resourceVersion": "0"}, seconds=60)

    def follow() -> None:
        with pytest.raises(errors.SourceUnavailable), wire.watch(ask) as events:
            next(events)
        ended.append(time.monotonic())

    thread = threading.Thread(target=follow)
    thread.start()
    eventually(lambda: api.seen)
    time.sleep(0.1)
    began = time.monotonic()
    wire.close()
    thread.join(5)
    assert ended[0] - began < 0.5


def test_closing_wakes_a_call_without_answer(api: FakeApi, wire: Wire) -> None:
    """A thread that waits for the first byte of an answer ends too, and later calls fail at once."""
    api.silent = True
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            wire.call(Ask(path=NAD, seconds=60))
        except errors.KubeError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: api.seen)
    wire.close()
    thread.join(2)
    assert [type(each) for each in caught] == [errors.SourceUnavailable]
    with pytest.raises(errors.SourceUnavailable, match="the wire is closed"):
        wire.call(Ask(path=NAD, seconds=5))
