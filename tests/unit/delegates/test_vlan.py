# SPDX-License-Identifier: Apache-2.0
"""vlan's configuration; what it does to a kernel stands in tests/uml."""

from typing import Any

import pytest

from delegates.vlan import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

NET = {"cniVersion": "1.1.0", "name": "net", "type": "vlan", "master": "e0", "vlanId": 5, "ipam": {"type": "far"}}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"vlanId": 4095}, 7, "'vlanId': 4095 is not in 0-4094", id="too-high"),
        pytest.param({"vlanId": -1}, 7, "vlanId", id="negative"),
        pytest.param({"vlanId": "5"}, 6, "vlanId", id="text"),
        pytest.param({"vlanId": 5.5}, 6, "vlanId", id="half"),
        pytest.param({"master": None}, 7, "'master'", id="no-master"),
        pytest.param({"master": ""}, 7, "'master'", id="empty-master"),
        pytest.param({"ipam": {}}, 7, "'ipam'", id="no-addresses"),
        pytest.param({"mac": "02:00:5e:00:00:01"}, 2, "'mac'", id="no-mac-of-its-own"),
        pytest.param({"mode": "bridge"}, 2, "'mode'", id="no-mode"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg


def test_all_keys_of_the_reference_are_known() -> None:
    """And the one of ours."""
    body: Any = NET | {"mtu": 1400, "linkInContainer": False, "enabledad": True, "dns": {}}
    assert DELEGATE.declines(body, lambda _: True) is None
