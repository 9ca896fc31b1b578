# SPDX-License-Identifier: Apache-2.0
"""What is kept of the API server's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metacni.kube import objects
from metacni.kube.source import NetworkDefinition, PodInfo

if TYPE_CHECKING:
    from metacni.cni.jsontext import Json

LAN = NetworkDefinition(namespace="a", name="lan", config="{}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"metadata": {"namespace": "a", "name": "lan"}, "spec": {"config": "{}"}}, LAN, id="plain"),
        pytest.param(
            {
                "metadata": {
                    "namespace": "a", "name": "lan", "managedFields": [{"manager": "kubectl"}],
                    "annotations": {
                        "kubectl.kubernetes.io/last-applied-configuration": "{...}",
                        "k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov",
                    },
                },
            },
            NetworkDefinition(
                namespace="a", name="lan", annotations={"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov"}
            ),
            id="no spec, two annotations of which one is ours",
        ),
        pytest.param({"metadata": {"namespace": "a", "name": "n"}, "spec": None},
                     NetworkDefinition(namespace="a", name="n"), id="null spec"),
        pytest.param({"metadata": {"namespace": "a", "name": "n"}, "spec": {"config": None}},
                     NetworkDefinition(namespace="a", name="n"), id="null config"),
        pytest.param({"metadata": {"namespace": "a", "name": "n"}, "spec": {"config": {"type": "x"}}},
                     NetworkDefinition(namespace="a", name="n"), id="config that is no text"),
        pytest.param({"metadata": {"name": "n"}}, None, id="no namespace"),
        pytest.param({"metadata": 1}, None, id="metadata that are none"),
        pytest.param({}, None, id="nothing"),
    ],
)  # fmt: skip
def test_a_definition_keeps_its_config_and_network_annotations(
    body: dict[str, Json], expected: NetworkDefinition | None
) -> None:
    """Config and network annotations are kept, everything else is dropped."""
    assert objects.definition(body) == expected


@pytest.mark.parametrize(
    ("annotations", "kept", "static"),
    [
        pytest.param({}, {}, False, id="none"),
        pytest.param(
            {"k8s.v1.cni.cncf.io/networks": "lan", "v1.multus-cni.io/default-network": "d", "x": "y"},
            {"k8s.v1.cni.cncf.io/networks": "lan", "v1.multus-cni.io/default-network": "d"},
            False,
            id="both of Multus",
        ),
        pytest.param({"k8s.v1.cni.cncf.io/network-status": "[]"}, {}, False, id="the status is not ours to read"),
        pytest.param({"kubernetes.io/config.mirror": "hash"}, {}, True, id="mirror of a static pod"),
        pytest.param({"kubernetes.io/config.source": "file"}, {}, True, id="from a file"),
        pytest.param({"kubernetes.io/config.source": "api"}, {}, False, id="from the API"),
    ],
)
def test_a_pod_keeps_its_identity_and_network_annotations(
    annotations: dict[str, Json],
    kept: dict[str, str],
    static: bool,  # noqa: FBT001
) -> None:
    """Of a pod only names, UID and network annotations are kept, and whether it is static."""
    found = objects.pod({"metadata": {"namespace": "a", "name": "p", "uid": "u", "annotations": annotations}})
    assert found == PodInfo(namespace="a", name="p", uid="u", annotations=kept, static=static)


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        pytest.param("a", "lan", True, id="labels"),
        pytest.param("a", "lan.blue", True, id="dots in a name (C3, C4)"),
        pytest.param("a.b", "lan", False, id="dots in a namespace"),
        pytest.param("a", "..", False, id="another path"),
        pytest.param("a", ".", False, id="this path"),
        pytest.param("a", "x/y", False, id="a slash"),
        pytest.param("a", "Lan", False, id="upper case"),
        pytest.param("a", "x?y", False, id="a query"),
        pytest.param("a", "", False, id="empty"),
        pytest.param("a", "x" * 253, True, id="longest"),
        pytest.param("a", "x" * 254, False, id="too long"),
        pytest.param("a", "x\n", False, id="a newline"),
    ],
)
def test_only_names_that_can_exist_are_asked_for(namespace: str, name: str, expected: bool) -> None:  # noqa: FBT001
    """A name that no object can have never becomes part of a path."""
    assert objects.possible(namespace, name) is expected
