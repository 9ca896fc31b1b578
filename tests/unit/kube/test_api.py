# SPDX-License-Identifier: Apache-2.0
"""The API server as a source: memory first, one bounded question, no network otherwise."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from metacni.kube import errors
from metacni.kube.api import ApiSource
from metacni.kube.source import NetworkDefinition, PodInfo
from tests.unit.kube.fake_api import DEFINITIONS, PODS, FakeApi, HangingUp, eventually, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metacni.kube.source import Source

NAD = "/apis/k8s.cni.cncf.io/v1/namespaces/a/network-attachment-definitions/"


@pytest.fixture
def source(api: FakeApi) -> Iterator[Source]:
    """Give a synced source over one definition and one pod."""
    api.put(DEFINITIONS, "a", "lan", spec={"config": "{}"})
    api.put(PODS, "a", "p", metadata={"uid": "u"})
    started = ApiSource(api.access(), "node1")
    with running(started):
        eventually(lambda: len(api.asked("GET", DEFINITIONS, watch="true") + api.asked("GET", PODS, watch="true")) == 2)
        yield started


def test_a_cached_definition_costs_no_request(api: FakeApi, source: Source) -> None:
    """What is in memory is answered from memory."""
    before = len(api.seen)
    assert source.definition("a", "lan") == NetworkDefinition(namespace="a", name="lan", config="{}")
    assert len(api.seen) == before


def test_only_this_nodes_pods_are_followed_by_their_metadata(api: FakeApi, source: Source) -> None:
    """The pods' list and watch name the node and ask for metadata only."""
    assert source.pod("a", "p") == PodInfo(namespace="a", name="p", uid="u", annotations={})
    asked = api.asked("GET", PODS)
    assert {each.query["fieldSelector"] for each in asked} == {"spec.nodeName=node1"}
    assert all("PartialObjectMetadata" in each.headers["Accept"] for each in asked)


def test_a_missing_definition_is_asked_for_once(api: FakeApi, source: Source) -> None:
    """A definition that the server does not have is None after exactly one question."""
    assert source.definition("a", "none") is None
    assert len(api.asked("GET", NAD + "none")) == 1


def test_a_definition_younger_than_the_watch_is_found_live(api: FakeApi, source: Source) -> None:
    """An object that no event has told of yet is read from the server."""
    api.objects[DEFINITIONS]["a", "young"] = {"metadata": {"namespace": "a", "name": "young"}, "spec": {"config": "1"}}
    assert source.definition("a", "young") == NetworkDefinition(namespace="a", name="young", config="1")


def test_a_name_that_cannot_exist_is_not_asked_for(api: FakeApi, source: Source) -> None:
    """A path of another object must not be reachable through a name."""
    before = len(api.seen)
    assert (source.definition("a", ".."), source.pod_live("a", "../../secrets")) == (None, None)
    assert len(api.seen) == before


def test_an_odd_answer_is_no_statement_about_the_object(api: FakeApi, source: Source) -> None:
    """A proxy's 406 or 410 must not be taken for "there is none"."""
    api.answers.extend([406, 410])
    for _ in range(2):
        with pytest.raises(errors.SourceUnavailable):
            source.definition("a", "none")


def test_a_denied_definition_is_not_a_missing_one(api: FakeApi, source: Source) -> None:
    """403 is Forbidden: the caller must not say that there is no such network."""
    api.closed.add(NAD)
    with pytest.raises(errors.Forbidden):
        source.definition("a", "none")


def test_a_pod_is_read_live_when_asked(api: FakeApi, source: Source) -> None:
    """The live question finds a pod that is not cached, and says None for one that is not there."""
    api.objects[PODS]["a", "young"] = {"metadata": {"namespace": "a", "name": "young", "uid": "v"}}
    found = source.pod_live("a", "young")
    assert (found and found.uid, source.pod("a", "young"), source.pod_live("a", "none")) == ("v", None, None)


@pytest.mark.parametrize(
    ("ask", "longest"),
    [
        pytest.param(lambda source: source.definition("a", "none"), 1.5, id="definition: one second"),
        pytest.param(lambda source: source.pod_live("a", "none"), 2.5, id="pod: two seconds"),
    ],
)
def test_a_live_question_is_bounded(
    api: FakeApi, source: Source, ask: Callable[[Source], object], longest: float
) -> None:
    """A server that is silent costs the bound and is unavailable."""
    api.silent = True
    began = time.monotonic()
    with pytest.raises(errors.SourceUnavailable):
        ask(source)
    assert time.monotonic() - began < longest


def test_memory_answers_at_once_during_an_outage(api: FakeApi, source: Source) -> None:
    """With the server silent, what an ADD needs is still there within a millisecond or so."""
    api.silent = True
    api.end_watches()
    began = time.monotonic()
    for _ in range(1000):
        assert source.definition("a", "lan")
        assert source.pod("a", "p")
    assert time.monotonic() - began < 0.5


def test_an_outage_costs_few_connections(outage: HangingUp) -> None:
    """Both collections together try a handful of times in two seconds."""
    source = ApiSource(outage.access(), "node1")
    with running(source):
        time.sleep(2.0)
        assert 2 <= outage.connections <= 12
        assert not source.health().synced


def test_health_is_that_of_the_worse_collection(api: FakeApi) -> None:
    """Without the right to read pods the source is not synced and says why."""
    api.closed.add(PODS)
    source = ApiSource(api.access(), "node1")
    with running(source):
        eventually(lambda: source.health().detail)
        health = source.health()
    assert (health.synced, health.detail) == (False, "cannot get '/api/v1/pods': not for you (HTTP 403)")


def test_stop_leaves_no_thread(api: FakeApi) -> None:
    """Stopping ends both threads within about a second, in the middle of their watches."""
    source = ApiSource(api.access(), "node1")
    source.start()
    eventually(lambda: source.health().synced)
    began = time.monotonic()
    source.stop()
    assert time.monotonic() - began < 1.0
    assert not [each for each in threading.enumerate() if each.name.startswith("follow")]
