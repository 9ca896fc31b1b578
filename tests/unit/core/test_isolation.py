# SPDX-License-Identifier: Apache-2.0
"""namespaceIsolation: whose definitions a pod may use."""

import pytest

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, dumps
from metacni.cni.names import Namespace
from metacni.core import isolation, nodeconf
from metacni.core.selection import NetworkSelection

_ON: dict[str, Json] = {"namespaceIsolation": True}


def _check(namespace: str, keys: dict[str, Json]) -> None:
    delegate: Json = {"name": "cbr0", "type": "bridge"}
    node = nodeconf.parse(dumps({"name": "n", "type": "metacni", "delegates": [delegate], **keys}))
    chosen = NetworkSelection(namespace=Namespace(namespace), name="lan", capability_args={}, cni_args={})
    isolation.check(chosen, Namespace("team-a"), node)


@pytest.mark.parametrize(
    ("namespace", "keys"),
    [
        pytest.param("team-b", {}, id="off"),
        pytest.param("team-a", _ON, id="own"),
        pytest.param("default", _ON, id="default"),
        pytest.param("shared", {**_ON, "globalNamespaces": "infra, shared"}, id="global"),
    ],
)
def test_allowed(namespace: str, keys: dict[str, Json]) -> None:
    """The pod's own namespace, those open to all, and any while isolation is off."""
    _check(namespace, keys)


@pytest.mark.parametrize(
    ("namespace", "keys"),
    [
        pytest.param("team-b", _ON, id="another"),
        pytest.param("default", {**_ON, "globalNamespaces": "shared"}, id="default-not-listed"),
    ],
)
def test_refused(namespace: str, keys: dict[str, Json]) -> None:
    """Another namespace's, and `default` as soon as a list does not name it."""
    with pytest.raises(CniError) as caught:
        _check(namespace, keys)
    assert (caught.value.code, f"'{namespace}/lan'" in caught.value.msg) == (7, True)
