# SPDX-License-Identifier: Apache-2.0
"""From a call to a plan: where annotations and definitions come from, and what is refused before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from metacni.agent import resolve
from metacni.agent.settings import Settings
from metacni.cni.errors import CniError, Code
from metacni.core import nodeconf
from metacni.core.plan import Plan
from metacni.kube.errors import Forbidden, SourceUnavailable
from tests.unit.agent import fakes
from tests.unit.agent.fakes import Bench, network, node_config, pod


def plan_for(bench: Bench, settings: Settings | None = None, **more: Any) -> Plan:
    """The plan of this ADD."""
    request = bench.request("ADD", **more)
    config = nodeconf.parse(request.stdin)
    chosen = settings or bench.node.settings
    planned, _ = resolve.plan_for(bench.source, chosen, request.environment, config, request.parent)
    return planned


def fault_of(bench: Bench, settings: Settings | None = None, **more: Any) -> CniError:
    """How it fails."""
    with pytest.raises(CniError) as caught:
        plan_for(bench, settings, **more)
    return caught.value


def networks(planned: Plan) -> list[str]:
    """What the plan attaches beside the default network."""
    return [one.network for one in planned.attachments[1:]]


@pytest.fixture
def lan(bench: Bench) -> Bench:
    """`lan`, `storage` and, in another namespace, `lab`."""
    bench.source.definitions |= {
        ("team", "lan"): network("macvlan"),
        ("team", "storage"): network("ipvlan"),
        ("lab", "lab"): network("vlan"),
    }
    bench.source.pods.clear()
    return bench


def test_the_annotations_of_the_call_come_first(lan: Bench) -> None:
    """What the runtime hands over is the kubelet's own view; nothing is asked (decision 8)."""
    lan.source.pods["team", "web"] = pod(networks="storage")
    lan.source.fault = SourceUnavailable("away")
    assert networks(plan_for(lan, networks="lan, lab/lab")) == ["team/lan", "lab/lab"]
    assert networks(plan_for(lan, networks="")) == []
    assert lan.source.reads == []


def test_then_the_cache_is_looked_at(lan: Bench) -> None:
    """A runtime that hands nothing over (D27)."""
    lan.source.pods["team", "web"] = pod(networks="storage")
    assert networks(plan_for(lan)) == ["team/storage"]
    assert lan.source.reads == []


def test_then_the_pod_is_read_live_once(lan: Bench) -> None:
    """The cache may be late."""
    lan.source.live["team", "web"] = pod(networks="lan")
    assert networks(plan_for(lan)) == ["team/lan"]
    assert lan.source.reads == ["pod team/web"]


@pytest.mark.parametrize("fault", [SourceUnavailable("connection refused"), Forbidden("pods is forbidden")])
def test_a_pod_that_cannot_be_read_is_worth_another_try(lan: Bench, fault: Exception) -> None:
    """Code 11, with the cause and with what would make the API server unnecessary."""
    lan.source.fault = fault
    told = fault_of(lan)
    assert (told.code, told.msg) == (Code.TRY_AGAIN, f"cannot read the pod: {fault}")
    assert "pod-annotations" in told.details


def test_a_pod_that_is_nowhere_is_worth_another_try(lan: Bench) -> None:
    """Never a made-up result (D29)."""
    assert (fault_of(lan).code, fault_of(lan).msg) == (11, "cannot read the pod: there is none of that name")


@pytest.mark.parametrize("handed", [{}, {"networks": "lan"}], ids=["from-the-api", "with-the-call"])
def test_a_late_cache_is_told_from_another_pod_by_one_live_read(lan: Bench, handed: dict[str, Any]) -> None:
    """A pod that was made again under its name: the live one has the call's UID (D28)."""
    lan.source.pods["team", "web"] = pod("u0", networks="storage")
    lan.source.live["team", "web"] = pod("u1", networks="lan")
    assert networks(plan_for(lan, **handed)) == ["team/lan"]
    assert lan.source.reads == ["pod team/web"]


@pytest.mark.parametrize("handed", [{}, {"networks": "lan"}], ids=["from-the-api", "with-the-call"])
def test_a_call_for_another_pod_of_that_name_is_refused(lan: Bench, handed: dict[str, Any]) -> None:
    """Both UIDs are named, code 11, nothing planned (D28)."""
    lan.source.pods["team", "web"] = lan.source.live["team", "web"] = pod("u2", networks="storage")
    fault = fault_of(lan, **handed)
    assert fault.code == Code.TRY_AGAIN
    assert fault.msg == "cannot attach: the pod of that name has UID 'u2', the call is for 'u1'"


@pytest.mark.parametrize(
    ("known", "args"),
    [
        pytest.param(pod("mirror", networks="lan", static=True), fakes.ARGS, id="static-pod"),
        pytest.param(pod("", networks="lan"), fakes.ARGS, id="source-without-uids"),
        pytest.param(pod("u9", networks="lan"), "K8S_POD_NAMESPACE=team;K8S_POD_NAME=web", id="runtime-without-uid"),
    ],
)
def test_uids_are_compared_only_where_both_are_the_pods_own(lan: Bench, known: Any, args: str) -> None:
    """A static pod stands in the API under its mirror's UID (D28)."""
    lan.source.pods["team", "web"] = known
    planned = plan_for(lan, args=args)
    assert networks(planned) == ["team/lan"]
    assert planned.pod is not None
    assert planned.pod.static is known.static


def test_a_static_pod_is_known_by_the_annotations_of_the_call_too(lan: Bench) -> None:
    """kubernetes.io/config.source says where the kubelet read it."""
    lan.source.pods["team", "web"] = pod("mirror")
    handed = {fakes.NETWORKS: "lan", resolve.CONFIG_SOURCE: "file"}
    config = node_config() | {"runtimeConfig": {fakes.ANNOTATIONS: handed}}
    assert networks(plan_for(lan, config=config)) == ["team/lan"]
    assert lan.source.reads == []


def test_a_call_that_names_no_pod_gets_the_nodes_networks(lan: Bench) -> None:
    """Annotations without a pod are nobody's (D30)."""
    assert networks(plan_for(lan, args="", networks="lan")) == []


def test_a_missing_definition_is_asked_for_once_and_named(lan: Bench) -> None:
    """Code 7, with a hint; the plan is not made without it (C19, C28)."""
    fault = fault_of(lan, networks="lan, none")
    assert isinstance(fault, resolve.MissingNetworkError)
    assert (fault.code, fault.msg) == (
        Code.CONFIG,
        "network 'team/none': there is no NetworkAttachmentDefinition of that name",
    )
    assert "k8s.v1.cni.cncf.io/networks" in fault.details
    assert lan.source.reads == ["definition team/none"]


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        pytest.param("{", 6, "definition 'bad': cannot decode configuration", id="not-json"),
        pytest.param('{"cniVersion":"1.0.0"}', 7, "neither plugins nor a type", id="no-type"),
        pytest.param('{"plugins":[]}', 7, "it is empty", id="no-plugins"),
        pytest.param('{"plugins":[null]}', 6, "null is not an object", id="null-plugin"),
        pytest.param('{"type":"../x"}', 7, "'../x'", id="path-in-type"),
        pytest.param('{"type":"metacni"}', 7, "cannot be called from within", id="ourselves"),
        pytest.param('{"type":"a","prevResult":{}}', 7, "the key is the runtime's", id="reserved-key"),
        pytest.param('{"type":"a","ipam":{"type":"b","dataDir":"/etc"}}', 7, "must lie under", id="host-path"),
    ],
)
def test_a_bad_definition_is_named_and_fails_the_whole_plan(lan: Bench, text: str, code: int, told: str) -> None:
    """One line that begins with the network; the good ones beside it are not planned either."""
    lan.source.definitions["team", "bad"] = text
    fault = fault_of(lan, networks="lan, bad")
    assert fault.code == code
    assert fault.msg.startswith("network 'team/bad': ")
    assert told in fault.msg


def test_an_annotation_that_is_neither_form_is_an_error(lan: Bench) -> None:
    """It names the annotation."""
    assert fault_of(lan, networks="[").msg.startswith("annotation k8s.v1.cni.cncf.io/networks: ")


def test_a_definition_with_an_empty_spec_stands_on_the_nodes_disk(lan: Bench, tmp_path: Path) -> None:
    """In confDir, under the definition's name (C5)."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "x.conflist").write_text('{"name":"disk","plugins":[{"type":"dummy"}]}')
    lan.source.definitions["team", "disk"] = " \n"
    planned = plan_for(lan, networks="disk", config=node_config(confDir=str(tmp_path / "conf")))
    assert planned.attachments[1].config.plugins[0].type == "dummy"
    fault = fault_of(lan, networks="disk", config=node_config(confDir=str(tmp_path / "none")))
    assert fault.msg.startswith("network 'team/disk': cannot find a configuration named 'disk' in ")


def test_isolation_and_allowed_types_hold_before_anything_is_read(lan: Bench) -> None:
    """namespaceIsolation is the node's, allowedTypes the agent's (decision 17)."""
    isolated = fault_of(lan, networks="lab/unknown", config=node_config(namespaceIsolation=True))
    assert "namespaceIsolation is on" in isolated.msg
    assert lan.source.reads == []
    settings = Settings(cni_conf_dir=Path("/nonexistent"), allowed_types={"*": frozenset({"macvlan"})})
    assert networks(plan_for(lan, settings, networks="lan")) == ["team/lan"]
    assert "namespace 'team' may not use this type" in fault_of(lan, settings, networks="storage").msg


def test_no_definition_leads_a_plugin_into_the_nodes_own_folders(lan: Bench, tmp_path: Path) -> None:
    """Lease files among the records would be taken for sandboxes, and GC would stop; wherever the state folder is."""
    settings = Settings(allowed_paths=(str(tmp_path),), state_dir=tmp_path / "state", cni_conf_dir=tmp_path / "net.d")
    for folder, refused in (("state/sandboxes", True), ("net.d", True), ("states", False)):
        ipam = {"type": "host-local", "dataDir": str(tmp_path / folder)}
        lan.source.definitions["team", "leases"] = network("bridge", ipam=ipam)
        if refused:
            assert "no definition may write into this folder" in fault_of(lan, settings, networks="leases").msg
        else:
            assert networks(plan_for(lan, settings, networks="leases")) == ["team/leases"]


@pytest.mark.parametrize(
    ("mode", "chain", "parent", "kind", "expected"),
    [
        pytest.param("auto", None, "containerd", "metacni", False, id="no-list-seen"),
        pytest.param("auto", ["metacni"], "containerd", "metacni", False, id="last-of-the-list"),
        pytest.param("auto", ["metacni", "portmap"], "containerd", "metacni", True, id="others-follow"),
        pytest.param("auto", ["metacni"], "crio", "metacni", True, id="crio"),
        pytest.param("auto", None, "containerd", "multus", True, id="as-multus"),
        pytest.param("merged", ["metacni", "portmap"], "crio", "multus", False, id="told-to-merge"),
        pytest.param("primary", None, "containerd", "metacni", True, id="told-not-to"),
    ],
)
def test_who_gets_the_primarys_part_only(  # noqa: PLR0917  a row of the table
    lan: Bench,
    tmp_path: Path,
    mode: Any,
    chain: list[str] | None,
    parent: str,
    kind: str,
    expected: bool,  # noqa: FBT001
) -> None:
    """Decision 9."""
    folder = tmp_path / "net.d"
    folder.mkdir()
    if chain is not None:
        body = {"name": "node-net", "plugins": [{"type": each} for each in chain]}
        (folder / "10.conflist").write_text(json.dumps(body))
    settings = Settings(result_mode=mode, cni_conf_dir=folder)
    planned = plan_for(lan, settings, networks="", config=node_config() | {"type": kind}, parent=parent)
    assert planned.primary_only is expected
