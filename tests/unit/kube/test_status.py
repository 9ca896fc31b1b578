# SPDX-License-Identifier: Apache-2.0
"""network-status: the right patch, until it is written or can never be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacni.kube.source import PodRef
from metacni.kube.status import StatusWriter
from metacni.kube.wire import Wire
from tests.unit.kube.fake_api import PODS, FakeApi, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

POD = PodRef(namespace="a", name="p", uid="u")
PATH = "/api/v1/namespaces/a/pods/p/status"


@pytest.fixture
def writer(api: FakeApi) -> Iterator[StatusWriter]:
    """Give a running writer and a pod for it."""
    api.put(PODS, "a", "p", metadata={"uid": "u"})
    wire = Wire(api.access())
    started = StatusWriter(wire)
    started.outbox.start()
    yield started
    started.outbox.halt()
    wire.close()
    started.outbox.join(2)


def test_the_patch_sets_one_annotation_and_names_the_uid(api: FakeApi, writer: StatusWriter) -> None:
    """A merge patch on the status subresource, with nothing in it but UID and annotation."""
    done: list[str] = []
    writer.put(POD, "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: done)
    (seen,) = api.asked("PATCH", PATH)
    assert seen.body == {"metadata": {"uid": "u", "annotations": {"k8s.v1.cni.cncf.io/network-status": "[]"}}}
    assert seen.headers["Content-Type"] == "application/merge-patch+json"


def test_without_a_uid_none_is_sent(api: FakeApi, writer: StatusWriter) -> None:
    """An unknown UID is not compared."""
    done: list[str] = []
    writer.put(PodRef(namespace="a", name="p", uid=""), "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: done)
    assert "uid" not in api.asked("PATCH", PATH)[0].body["metadata"]


def test_the_status_of_a_static_pod_waits_for_its_mirror(api: FakeApi, writer: StatusWriter) -> None:
    """The runtime's UID is not the mirror's, and the mirror may come long after the sandbox (D28)."""
    done: list[str] = []
    writer.put(PodRef(namespace="a", name="late", uid="u", static=True), "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: api.asked("PATCH", "/api/v1/namespaces/a/pods/late/status"))
    assert done == []
    api.put(PODS, "a", "late", metadata={"uid": "mirror"})
    eventually(lambda: done)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(PodRef(namespace="a", name="none", uid="u"), id="pod gone"),
        pytest.param(PodRef(namespace="a", name="p", uid="other"), id="another pod of that name"),
    ],
)
def test_what_can_never_be_written_is_done(writer: StatusWriter, pod: PodRef) -> None:
    """A pod that is gone or replaced closes the matter."""
    done: list[str] = []
    writer.put(pod, "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: done)


@pytest.mark.parametrize("status", [409, 422, 403, 500, 503, 429, 400])
def test_any_other_refusal_is_tried_again(api: FakeApi, writer: StatusWriter, status: int) -> None:
    """As long as the pod is there with its UID, the status is written in the end."""
    api.answers.append(status)
    done: list[str] = []
    writer.put(POD, "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: done)
    assert len(api.asked("PATCH", PATH)) == 2


def test_a_forgotten_pod_gets_no_status(api: FakeApi, writer: StatusWriter) -> None:
    """After forget nothing is sent any more for that UID."""
    api.answers.append(503)
    done: list[str] = []
    writer.put(POD, "[]", lambda: done.append("done"), sandbox="s")
    eventually(lambda: api.asked("PATCH", PATH))
    writer.forget("s")
    assert (len(writer.outbox), done) == (0, [])
