# SPDX-License-Identifier: Apache-2.0
"""The stdin of each plugin."""

import json

import pytest

from metacni.cni import config
from metacni.cni.jsontext import Json
from metacni.cni.names import IfName
from metacni.core import request
from metacni.core.plan import Attachment

_NETWORK = config.parse(
    {
        "name": "lan",
        "cniVersion": "0.4.0",
        "plugins": [
            {"type": "macvlan", "name": "old", "capabilities": {"ips": True}, "mtu": 1500},
            {"type": "tuning", "capabilities": {"mac": True}},
            {"type": "sbr"},
        ],
    }
)
_ATTACHMENT = Attachment(
    network="team-a/lan",
    ifname=IfName("net1"),
    config=_NETWORK,
    capability_args={"ips": ["10.0.0.5"], "mac": "02:00:00:00:00:01"},
    cni_args="",
    default=False,
    default_route=None,
)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        pytest.param(
            0,
            b'{"type":"macvlan","name":"lan","capabilities":{"ips":true},"mtu":1500,"cniVersion":"0.4.0",'
            b'"runtimeConfig":{"ips":["10.0.0.5"]}}',
            id="first",
        ),
        pytest.param(
            1,
            b'{"type":"tuning","capabilities":{"mac":true},"name":"lan","cniVersion":"0.4.0",'
            b'"runtimeConfig":{"mac":"02:00:00:00:00:01"}}',
            id="second",
        ),
        pytest.param(2, b'{"type":"sbr","name":"lan","cniVersion":"0.4.0"}', id="takes-nothing"),
    ],
)
def test_each_plugin_gets_its_own_values(index: int, expected: bytes) -> None:
    """Its keys in their order, the network's name and version, and those requests that it declares."""
    assert request.stdin(_ATTACHMENT, index, None) == expected


@pytest.mark.parametrize(
    ("prev", "expected"),
    [
        pytest.param({"cniVersion": "0.4.0", "x": 1}, {"cniVersion": "0.4.0", "x": 1}, id="same-version-as-it-came"),
        pytest.param({"x": 1}, {"x": 1}, id="no-version-as-it-came"),
        pytest.param(
            {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.5/24"}]},
            {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.5/24"}], "dns": {}},
            id="converted",
        ),
    ],
)
def test_the_previous_result_has_the_configurations_version(prev: Json, expected: Json) -> None:
    """A plugin need not know a version newer than its configuration's."""
    assert json.loads(request.stdin(_ATTACHMENT, 2, prev))["prevResult"] == expected


def test_a_del_says_what_the_add_said() -> None:
    """But for the result."""
    added = json.loads(request.stdin(_ATTACHMENT, 0, None))
    deleted = json.loads(request.stdin(_ATTACHMENT, 0, {"cniVersion": "0.4.0"}))
    assert deleted == {**added, "prevResult": {"cniVersion": "0.4.0"}}


def test_status_is_about_no_attachment() -> None:
    """The configuration with name and version, and no more."""
    assert json.loads(request.status_stdin(_NETWORK, 1)) == {
        "type": "tuning",
        "capabilities": {"mac": True},
        "name": "lan",
        "cniVersion": "0.4.0",
    }


@pytest.mark.parametrize(
    ("valid", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [("c2", "net1"), ("c1", "net1")],
            [{"containerID": "c1", "ifname": "net1"}, {"containerID": "c2", "ifname": "net1"}],
            id="in-order",
        ),
    ],
)
def test_garbage_collection_names_what_is_valid_twice(valid: list[tuple[str, str]], expected: Json) -> None:
    """Under the key of the specification and the one that libcni also writes."""
    assert json.loads(request.gc_stdin(_NETWORK, 2, valid)) == {
        "type": "sbr",
        "name": "lan",
        "cniVersion": "0.4.0",
        "cni.dev/valid-attachments": expected,
        "cni.dev/attachments": expected,
    }
