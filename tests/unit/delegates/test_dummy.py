# SPDX-License-Identifier: Apache-2.0
"""dummy's configuration; what it does to a kernel stands in tests/uml."""

from typing import Any

import pytest

from delegates.dummy import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

NET = {"cniVersion": "1.1.0", "name": "net", "type": "dummy", "ipam": {"type": "far"}}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"ipam": {}}, 7, "'ipam'", id="no-addresses"),
        pytest.param({"master": "e0"}, 2, "'master'", id="stands-on-nothing"),
        pytest.param({"mtu": 1400}, 2, "'mtu'", id="no-mtu"),
        pytest.param({"dns": []}, 6, "dns", id="dns-a-list"),
    ],
)
def test_bad_input_is_named_and_touches_nothing(more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg
