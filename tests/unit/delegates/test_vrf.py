# SPDX-License-Identifier: Apache-2.0
"""The vrf's configuration; what it does to a kernel stands in tests/uml."""

from typing import Any

import pytest

from delegates.vrf import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

VRF = {
    "cniVersion": "1.1.0", "name": "net", "type": "vrf", "vrfname": "blue", "prevResult": {"cniVersion": "1.1.0"}
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="name"),
        pytest.param({"Table": 10, "args": {"cni": {}}}, None, id="table"),
        pytest.param({"ipam": {}}, "key 'ipam' ({}) is not known", id="unknown"),
        pytest.param(
            {"runtimeConfig": {"mac": "x"}}, "key 'runtimeConfig.mac' (\"x\") is not carried out", id="capability"
        ),
    ],
)
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Whatever would not be done to the letter; no path of the node is needed."""
    body: Any = VRF | more
    assert DELEGATE.declines(body, lambda _: False) == expected


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"vrfname": None}, 7, "vrfname", id="no-name"),
        pytest.param({"vrfname": ""}, 7, "vrfname", id="name-empty"),
        pytest.param({"vrfname": 7}, 6, "vrfname", id="name-number"),
        pytest.param({"vrfname": "a/b"}, 7, "'a/b'", id="name-with-a-slash"),
        pytest.param({"vrfname": "vrf-of-sixteen-c"}, 7, "vrf-of-sixteen-c", id="name-too-long"),
        pytest.param({"vrfname": "eth0"}, 7, "interface's own name", id="name-of-the-interface"),
        pytest.param({"table": -1}, 7, "'table': -1", id="table-negative"),
        pytest.param({"table": 1 << 32}, 7, "'table'", id="table-too-large"),
        pytest.param({"table": "10"}, 6, "table", id="table-text"),
        pytest.param({"prevResult": None}, 7, "prevResult", id="no-result"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, VRF | more)
    assert caught.value.code == code
    assert says in caught.value.msg


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", None])
def test_versions_before_vrfs_are_refused(version: str | None) -> None:
    """As the reference refuses them, with the code for it."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", VRF | {"cniVersion": version, "prevResult": {}})
    assert caught.value.code == 1


def test_del_gc_and_status_need_no_pod() -> None:
    """Everything of it is in the pod; whatever stands in the configuration by now."""
    assert serve(DELEGATE, "DEL", VRF | {"vrfname": 7, "table": "x"}) == {}
    assert serve(DELEGATE, "GC", VRF | {"cni.dev/valid-attachments": []}) == {}
    assert serve(DELEGATE, "STATUS", VRF) == {}
