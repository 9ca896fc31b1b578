# SPDX-License-Identifier: Apache-2.0
"""The schema of the node configuration and its parser agree on every row (the agent's settings: test_settings)."""

import importlib.resources
import json
from typing import Any

import jsonschema
import pytest

from metacni.cni.errors import CniError
from metacni.core import nodeconf

SCHEMA = json.loads(importlib.resources.files("crds").joinpath("node-config.schema.json").read_text("utf-8"))
BRIDGE = {"name": "pods", "type": "bridge"}
GOOD: dict[str, Any] = {"cniVersion": "1.0.0", "name": "node", "type": "metacni", "delegates": [BRIDGE]}

GOOD_ROWS = [
    pytest.param({}, id="the-least"),
    pytest.param({"cniVersion": "1.1.0"}, id="newest-version"),
    pytest.param({"cniVersion": ""}, id="empty-version-is-0.1.0"),
    pytest.param({"delegates": [{"name": "a", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}]}, id="a-list"),
    pytest.param({"delegates": [BRIDGE, {"name": "b", "type": "macvlan", "x": 1}]}, id="two-networks-for-every-pod"),
    pytest.param({"capabilities": {"portMappings": True, "bandwidth": False}}, id="capabilities"),
    pytest.param({"confDir": "/etc/x", "binDir": "/opt/x"}, id="folders"),
    pytest.param({"namespaceIsolation": True, "globalNamespaces": "a, b", "multusNamespace": "net"}, id="isolation"),
    pytest.param({"runtimeConfig": {"portMappings": []}, "prevResult": {}, "args": {}}, id="put-by-the-runtime"),
    pytest.param({"cni.dev/valid-attachments": None, "cni.dev/attachments": []}, id="gc"),
]
BAD_ROWS = [
    pytest.param({"name": ""}, id="empty-name"),
    pytest.param({"name": "../x"}, id="name-is-a-path"),
    pytest.param({"name": 1}, id="name-is-a-number"),
    pytest.param({"name": "n" * 201}, id="name-is-endless"),
    pytest.param({"cniVersion": "2.0.0"}, id="unknown-version"),
    pytest.param({"cniVersion": "1.0"}, id="half-a-version"),
    pytest.param({"delegates": []}, id="no-delegates"),
    pytest.param({"delegates": None}, id="delegates-are-null"),
    pytest.param({"delegates": {}}, id="delegates-are-an-object"),
    pytest.param({"delegates": ["bridge"]}, id="a-delegate-is-a-string"),
    pytest.param({"delegates": [{"name": "a"}]}, id="a-delegate-without-type"),
    pytest.param({"delegates": [{"type": "bridge"}]}, id="a-delegate-without-name"),
    pytest.param({"delegates": [{"name": "a", "plugins": []}]}, id="a-list-without-plugins"),
    pytest.param({"delegates": [{"name": "a", "plugins": [None]}]}, id="a-list-with-null"),
    pytest.param({"delegates": [{"name": "a", "plugins": [{}]}]}, id="a-plugin-without-type"),
    pytest.param({"confDir": "relative"}, id="relative-folder"),
    pytest.param({"binDir": 5}, id="folder-is-a-number"),
    pytest.param({"namespaceIsolation": "true"}, id="a-quoted-bool"),
    pytest.param({"globalNamespaces": ["a"]}, id="namespaces-as-a-list"),
    pytest.param({"runtimeConfig": []}, id="runtimeConfig-is-a-list"),
    pytest.param({"clusterNetwork": "x"}, id="a-key-of-multus-not-carried-out"),
    pytest.param({"defaultNetworks": ["x"]}, id="another-key-of-multus-not-carried-out"),
    pytest.param({"isolation": True}, id="an-unknown-key"),
]


@pytest.mark.parametrize("change", GOOD_ROWS)
def test_schema_and_parser_take_what_is_good(change: dict[str, Any]) -> None:
    """Both say yes."""
    body = GOOD | change
    jsonschema.validate(body, SCHEMA)
    nodeconf.parse(json.dumps(body).encode())


@pytest.mark.parametrize("change", BAD_ROWS)
def test_schema_and_parser_refuse_what_is_bad(change: dict[str, Any]) -> None:
    """Both say no, so that a configuration that an editor calls good works on the node."""
    body = GOOD | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, SCHEMA)
    with pytest.raises(CniError):
        nodeconf.parse(json.dumps(body).encode())


def test_the_schemas_are_schemas() -> None:
    """Every schema in crds/ is valid itself, and each of its keys is described."""
    for file in importlib.resources.files("crds").iterdir():
        if file.name.endswith(".schema.json"):
            schema = json.loads(file.read_text("utf-8"))
            jsonschema.Draft202012Validator.check_schema(schema)
            assert all(key.get("description") for key in schema["properties"].values()), file.name
