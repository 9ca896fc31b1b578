# SPDX-License-Identifier: Apache-2.0
"""loopback's configuration, which is none; what it does to a kernel stands in tests/contract."""

from typing import Any

import pytest

from delegates.loopback import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

NET = {"cniVersion": "1.1.0", "name": "net", "type": "loopback"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, None, id="plain"),
        pytest.param({"prevResult": {}, "capabilities": {"x": True}, "args": {}}, None, id="the-specifications"),
        pytest.param({"ipam": {"type": "x"}}, "key 'ipam' ({…}) is not known", id="ipam"),
        pytest.param({"mtu": 1}, "key 'mtu' (1) is not known", id="mtu"),
        pytest.param(
            {"runtimeConfig": {"mac": "x"}}, "key 'runtimeConfig.mac' (\"x\") is not carried out", id="capability"
        ),
    ],
)
def test_reasons_to_leave_it_to_another(more: dict[str, Any], expected: str | None) -> None:
    """Any key of its own."""
    body: Any = NET | more
    assert DELEGATE.declines(body, lambda _: True) == expected


def test_what_is_not_known_is_refused() -> None:
    """And nothing is touched."""
    with pytest.raises(CniError, match="'mtu'") as caught:
        serve(DELEGATE, "ADD", NET | {"mtu": 1})
    assert caught.value.code == 2


def test_there_is_nothing_to_do_without_a_pod() -> None:
    """DEL, GC and STATUS touch nothing then."""
    assert serve(DELEGATE, "DEL", NET | {"mtu": 1}) == {}
    assert serve(DELEGATE, "GC", NET | {"cni.dev/valid-attachments": []}) == {}
    assert serve(DELEGATE, "STATUS", NET) == {}
