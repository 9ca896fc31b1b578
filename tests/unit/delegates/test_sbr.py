# SPDX-License-Identifier: Apache-2.0
"""The sbr's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from typing import Any

import pytest

from delegates.sbr import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

SBR = {"cniVersion": "1.1.0", "name": "net", "type": "sbr", "prevResult": {"cniVersion": "1.1.0"}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"Table": 100}, None, id="table"),
        pytest.param({"gateways": ["10.1.0.1"], "addSourceHints": True, "args": {"cni": {}}}, None, id="the-others"),
        pytest.param({"table": 100, "gateways": [], "addSourceHints": False}, None, id="together-but-empty"),
        pytest.param(
            {"table": 100, "gateways": ["10.1.0.1"]}, "key 'gateways' has no effect beside 'table'", id="no-gateway"
        ),
        pytest.param(
            {"table": 100, "addSourceHints": True}, "key 'addSourceHints' has no effect beside 'table'", id="no-hints"
        ),
        pytest.param({"ipam": {}}, "key 'ipam' ({}) is not known", id="unknown"),
        pytest.param(
            {"runtimeConfig": {"mac": "x"}}, "key 'runtimeConfig.mac' (\"x\") is not carried out", id="capability"
        ),
    ],
)
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Whatever would not be done to the letter; no path of the node is needed."""
    body: Any = SBR | more
    assert DELEGATE.declines(body, lambda _: False) == expected


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"table": "100"}, 6, "table", id="table-text"),
        pytest.param({"table": 0}, 7, "'table': 0", id="table-zero"),
        pytest.param({"table": -1}, 7, "'table': -1", id="table-negative"),
        pytest.param({"table": 1 << 32}, 7, "'table'", id="table-too-large"),
        pytest.param({"gateways": "10.1.0.1"}, 6, "gateways", id="gateways-text"),
        pytest.param({"gateways": ["10.1"]}, 7, "10.1", id="no-address"),
        pytest.param({"gateways": ["10.1.0.1/24"]}, 7, "10.1.0.1/24", id="a-subnet"),
        pytest.param({"gateways": ["10.1.0.1", "::ffff:10.1.0.2"]}, 7, "of a family", id="two-of-ipv4"),
        pytest.param({"gateways": ["fd01::1", "10.1.0.1", "fd01::2"]}, 7, "of a family", id="two-of-ipv6"),
        pytest.param({"addSourceHints": 1}, 6, "addSourceHints", id="hints-number"),
        pytest.param({"prevResult": None}, 7, "prevResult", id="no-result"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, SBR | more)
    assert caught.value.code == code
    assert says in caught.value.msg


@pytest.mark.parametrize(
    "prev",
    [
        pytest.param({}, id="none"),
        pytest.param(
            {"interfaces": [{"name": "eth1"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}]}, id="of-another"
        ),
    ],
)
def test_without_an_address_there_is_nothing_to_route(prev: dict[str, Any]) -> None:
    """Code 7, before the pod is entered."""
    with pytest.raises(CniError, match="no address of interface 'eth0'") as caught:
        serve(DELEGATE, "ADD", SBR | {"prevResult": {"cniVersion": "1.1.0"} | prev})
    assert caught.value.code == 7


def test_del_gc_and_status_need_no_pod() -> None:
    """Everything of it is in the pod."""
    assert serve(DELEGATE, "DEL", SBR | {"table": "x"}) == {}
    assert serve(DELEGATE, "GC", SBR | {"cni.dev/valid-attachments": []}) == {}
    assert serve(DELEGATE, "STATUS", SBR) == {}
