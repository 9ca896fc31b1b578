# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes edge against a real kube-apiserver and etcd: what no server of our own can vouch for."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from metacni.kube.access import from_kubeconfig, in_cluster
from metacni.kube.api import ApiSource
from metacni.kube.errors import Forbidden, SourceUnavailable
from metacni.kube.publisher import ApiPublisher
from metacni.kube.source import PodRef
from tests.cluster.apiserver import ApiServer
from tests.parts import KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metacni.kube.access import Access

ROOT = Path(__file__).parents[2]
STATUS = "k8s.v1.cni.cncf.io/network-status"


pytestmark = [
    pytest.mark.part("etcd", "kube-apiserver"),
    pytest.mark.skipif(
        not (KUBERNETES / "kube-apiserver").exists() or not shutil.which("etcd"),
        reason="needs etcd and the kube-apiserver of tests/testbed/build.sh",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Give a running API server with our CRD."""
    started = ApiServer(KUBERNETES, tmp_path_factory.mktemp("api"), _free_ports())
    try:
        started.start()
        started.kubectl("apply", "-f", str(ROOT / "crds" / "network-attachment-definitions.yaml"))
        started.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        yield started
    finally:
        started.stop()


@pytest.fixture
def namespace(server: ApiServer) -> Iterator[str]:
    """Give a namespace of this test's own."""
    name = f"t{time.time_ns():x}"
    server.kubectl("create", "namespace", name)
    yield name
    if server.running:
        server.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def source(server: ApiServer) -> Iterator[ApiSource]:
    """Give a synced source for node1."""
    started = ApiSource(from_kubeconfig(server.kubeconfig), "node1")
    started.start()
    eventually(lambda: started.health().synced)
    yield started
    started.stop()


@pytest.fixture
def publisher(server: ApiServer) -> Iterator[ApiPublisher]:
    """Give a running publisher."""
    started = ApiPublisher(from_kubeconfig(server.kubeconfig), "node1")
    started.start()
    yield started
    started.stop()


@pytest.mark.parametrize(
    "name", ["network-attachment-definitions", "network-attachment-definition", "net-attach-def", "nad"]
)
def test_the_crd_answers_to_its_names(server: ApiServer, name: str) -> None:
    """Plural, singular and both short names of the standard and of Multus work (C1)."""
    assert server.kubectl("get", name, "-n", "kube-system", "-o", "name") == ""


@pytest.mark.parametrize(
    ("spec", "stored"),
    [
        pytest.param({"spec": {"config": "{}"}}, True, id="text"),
        pytest.param({}, True, id="no spec"),
        pytest.param({"spec": {}}, True, id="empty spec"),
        pytest.param({"spec": {"config": {"type": "bridge"}}}, False, id="an embedded object"),
        pytest.param({"spec": "x"}, False, id="a spec that is text"),
    ],
)
def test_the_crd_takes_what_the_standard_takes(
    server: ApiServer,
    namespace: str,
    spec: dict[str, object],
    stored: bool,  # noqa: FBT001
) -> None:
    """`spec` and `spec.config` are optional, and config is text (C2)."""
    if stored:
        _define(server, namespace, "lan", spec)
    else:
        with pytest.raises(AssertionError, match=r"strict decoding error|Invalid value"):
            _define(server, namespace, "lan", spec)


def test_definitions_and_this_nodes_pods_are_followed(server: ApiServer, namespace: str, source: ApiSource) -> None:
    """New, changed and deleted objects arrive; pods of other nodes do not."""
    _define(server, namespace, "lan", {"spec": {"config": '{"a": 1}'}})
    _pod(server, namespace, "here", "node1", {"k8s.v1.cni.cncf.io/networks": "lan"})
    _pod(server, namespace, "there", "node2", {})
    eventually(lambda: source._definitions.get(namespace, "lan") and source.pod(namespace, "here"))
    pod, definition = source.pod(namespace, "here"), source.definition(namespace, "lan")
    assert pod
    assert definition
    assert (definition.config, pod.annotations) == ('{"a": 1}', {"k8s.v1.cni.cncf.io/networks": "lan"})
    assert pod.uid == _get(server, namespace, "pod", "here")["metadata"]["uid"]
    assert source.pod(namespace, "there") is None
    _define(server, namespace, "lan", {"spec": {"config": '{"a": 2}'}})
    eventually(lambda: (found := source.definition(namespace, "lan")) and found.config == '{"a": 2}')
    server.kubectl("-n", namespace, "delete", "nad", "lan")
    server.kubectl("-n", namespace, "delete", "pod", "here", "--force", "--grace-period=0")
    eventually(lambda: source.definition(namespace, "lan") is None and source.pod(namespace, "here") is None)


def test_live_questions_find_what_is_not_cached(server: ApiServer, namespace: str, source: ApiSource) -> None:
    """A pod of another node is found live, and only its metadata travel; what is not there is None."""
    _pod(server, namespace, "there", "node2", {"v1.multus-cni.io/default-network": "d"})
    found = source.pod_live(namespace, "there")
    assert found
    assert found.annotations == {"v1.multus-cni.io/default-network": "d"}
    assert (source.pod_live(namespace, "none"), source.definition(namespace, "none")) == (None, None)


def test_two_thousand_definitions_are_listed_in_pages(server: ApiServer) -> None:
    """2,000 definitions with kubectl's copy in each are followed in seconds, and only their texts are kept."""
    config = json.dumps({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br0", "ipam": {"type": "host-local"}})
    server.kubectl("create", "namespace", "many")
    items = [_definition("many", f"n{number}", {"spec": {"config": config}}) for number in range(2000)]
    server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    source = ApiSource(from_kubeconfig(server.kubeconfig), "node1")
    began = time.monotonic()
    source.start()
    try:
        eventually(lambda: source.health().synced)
        assert len(source._definitions) >= 2000
        assert time.monotonic() - began < 10
    finally:
        source.stop()
        server.kubectl("delete", "namespace", "many", "--wait=false")
        server.kubectl("-n", "many", "delete", "nad", "--all", "--wait=false")


def test_a_status_is_written_beside_what_others_wrote(
    server: ApiServer, namespace: str, publisher: ApiPublisher
) -> None:
    """The merge patch sets the one annotation and leaves the rest of the pod alone (C55, C66)."""
    uid = _pod(server, namespace, "p", "node1", {"other": "stays"})
    _write(publisher, PodRef(namespace=namespace, name="p", uid=uid), '[{"name":"lan"}]')
    assert _get(server, namespace, "pod", "p")["metadata"]["annotations"] == {
        "other": "stays",
        STATUS: '[{"name":"lan"}]',
    }


def test_a_pod_of_another_uid_gets_no_status(server: ApiServer, namespace: str, publisher: ApiPublisher) -> None:
    """A successor of the same name is left alone, and the matter is closed."""
    _pod(server, namespace, "p", "node1", {})
    _write(publisher, PodRef(namespace=namespace, name="p", uid="00000000-0000-0000-0000-000000000000"), "[]")
    assert "annotations" not in _get(server, namespace, "pod", "p")["metadata"]


def test_a_pod_that_is_gone_closes_the_matter(server: ApiServer, namespace: str, publisher: ApiPublisher) -> None:
    """Nobody can read the status of a pod that is not there (C67)."""
    assert server.running
    _write(publisher, PodRef(namespace=namespace, name="none", uid="u"), "[]")


def test_events_are_shown_on_the_pod(server: ApiServer, namespace: str, publisher: ApiPublisher) -> None:
    """An Event is stored as kubectl shows it, and its repetition counts up instead of adding one (C71)."""
    uid = _pod(server, namespace, "p", "node1", {})
    pod = PodRef(namespace=namespace, name="p", uid=uid)
    publisher.event(pod, reason="AddedInterface", message="Add net1 [10.1.1.2/24] from a/lan", warning=False)
    eventually(lambda: _events(server, namespace))
    (event,) = _events(server, namespace)
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Normal", "AddedInterface", "Add net1 [10.1.1.2/24] from a/lan", 1,
    )  # fmt: skip
    assert (event["source"], event["reportingComponent"]) == ({"component": "metacni", "host": "node1"}, "metacni")
    assert "AddedInterface" in server.kubectl("-n", namespace, "describe", "pod", "p")
    publisher.event(pod, reason="AddedInterface", message="Add net1 [10.1.1.2/24] from a/lan", warning=False)
    publisher.event(pod, reason="NoNetworkFound", message="no network 'x'", warning=True)
    eventually(lambda: len(_events(server, namespace)) == 2)
    assert {each["reason"]: each["type"] for each in _events(server, namespace)} == {
        "AddedInterface": "Normal", "NoNetworkFound": "Warning",
    }  # fmt: skip


def test_an_outage_of_the_server_is_survived(server: ApiServer, namespace: str) -> None:
    """Killed and started again: the cache answers throughout, statuses and events arrive afterwards, changes too."""
    uid = _pod(server, namespace, "p", "node1", {})
    _define(server, namespace, "lan", {"spec": {"config": "1"}})
    source = ApiSource(from_kubeconfig(server.kubeconfig), "node1")
    publisher = ApiPublisher(from_kubeconfig(server.kubeconfig), "node1")
    source.start()
    publisher.start()
    done = threading.Event()
    try:
        eventually(lambda: source.pod(namespace, "p") and source.definition(namespace, "lan"))
        server.stop_api(kill=True)
        began = time.monotonic()
        publisher.status(PodRef(namespace=namespace, name="p", uid=uid), "[]", done.set, sandbox="s")
        assert source.definition(namespace, "lan")
        assert source.pod(namespace, "p")
        assert time.monotonic() - began < 0.1
        with pytest.raises(SourceUnavailable):
            source.definition(namespace, "none")
        assert time.monotonic() - began < 1.5
        eventually(lambda: "connection refused" in source.health().detail)
        assert publisher.lag_seconds > 0
        server.start_api()
        assert done.wait(40)
        _define(server, namespace, "lan", {"spec": {"config": "2"}})
        eventually(lambda: (found := source.definition(namespace, "lan")) and found.config == "2", 40)
        assert (source.health().synced, source.health().detail, publisher.lag_seconds) == (True, "", 0.0)
    finally:
        publisher.stop()
        source.stop()


def test_an_account_without_rights_is_forbidden(server: ApiServer, namespace: str, tmp_path: Path) -> None:
    """A service account that was granted nothing gets Forbidden, not None."""
    source = ApiSource(_service_account(server, namespace, tmp_path), "node1")
    source.start()
    try:
        eventually(lambda: "HTTP 403" in source.health().detail)
        with pytest.raises(Forbidden):
            source.definition(namespace, "lan")
        with pytest.raises(Forbidden):
            source.pod_live(namespace, "p")
    finally:
        source.stop()


def test_a_service_accounts_token_is_read_anew(server: ApiServer, namespace: str, tmp_path: Path) -> None:
    """With a token that the server refuses nothing works; when the file has a good one everything does."""
    access = _service_account(server, namespace, tmp_path)
    good = (tmp_path / "token").read_text()
    (tmp_path / "token").write_text("stale")
    source = ApiSource(access, "node1")
    with pytest.raises(SourceUnavailable, match="HTTP 401"):
        source.pod_live(namespace, "p")
    server.kubectl(
        *["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin"],
        f"--serviceaccount={namespace}:agent",
    )
    (tmp_path / "token").write_text(good)
    assert source.pod_live(namespace, "p") is None
    source.stop()
    server.kubectl("delete", "clusterrolebinding", namespace)


def _service_account(server: ApiServer, namespace: str, folder: Path) -> Access:
    """Return what a pod of a new service account would find in its folder and environment."""
    server.kubectl("-n", namespace, "create", "serviceaccount", "agent")
    (folder / "token").write_text(server.kubectl("-n", namespace, "create", "token", "agent").strip())
    shutil.copy(server.ca_file, folder / "ca.crt")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    return in_cluster(folder, environment)


def _write(publisher: ApiPublisher, pod: PodRef, text: str) -> None:
    done = threading.Event()
    publisher.status(pod, text, done.set, sandbox="s")
    assert done.wait(10)


def _definition(namespace: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": metadata, **spec}


def _define(server: ApiServer, namespace: str, name: str, spec: dict[str, object]) -> None:
    server.kubectl("apply", "-f", "-", stdin=json.dumps(_definition(namespace, name, spec)))


def _pod(server: ApiServer, namespace: str, name: str, node: str, annotations: dict[str, str]) -> str:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "none"}],
        },
    }
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    return str(_get(server, namespace, "pod", name)["metadata"]["uid"])


def _get(server: ApiServer, namespace: str, kind: str, name: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(server.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
    return found


def _events(server: ApiServer, namespace: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(server.kubectl("-n", namespace, "get", "events", "-o", "json"))["items"]
    return found


def _free_ports() -> int:
    """Return the first of three neighbouring ports that nobody uses now."""
    return next(first for first in range(17443, 18443, 10) if all(_free(first + step) for step in range(3)))


def _free(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0


def eventually(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
