# SPDX-License-Identifier: Apache-2.0
"""ipvlan's configuration, and what it takes from a chain; what it does to a kernel stands in tests/uml."""

from typing import Any

import pytest

from delegates.ipvlan import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import serve

NET = {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan", "master": "e0", "ipam": {"type": "far"}}
TWO = {"cniVersion": "1.1.0", "interfaces": [{"name": "a"}, {"name": "b"}], "ips": [{"address": "10.0.0.1/8"}]}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"mode": "bridge"}, 7, "bridge", id="a-mode-of-macvlan"),
        pytest.param({"mode": 0}, 6, "mode", id="mode-a-number"),
        pytest.param({"mac": "02:00:5e:00:00:01"}, 2, "'mac'", id="no-mac-of-its-own"),
        pytest.param({"bcqueuelen": 5}, 2, "'bcqueuelen' (5)", id="a-key-of-macvlan"),
        pytest.param({"runtimeConfig": {"mac": "x"}}, 2, "runtimeConfig.mac", id="no-mac-of-the-runtime"),
        pytest.param({"mtu": 70000}, 7, "mtu", id="mtu"),
        pytest.param({"ipam": None}, 7, "'ipam'", id="no-addresses"),
        pytest.param(
            {"ipam": None, "prevResult": {"cniVersion": "1.1.0"}}, 7, "'ipam'", id="no-addresses-in-the-chain"
        ),
        pytest.param({"master": None, "prevResult": TWO}, 7, "prevResult", id="two-masters-in-the-chain"),
        pytest.param(
            {"master": None, "prevResult": {"cniVersion": "1.1.0"}}, 7, "prevResult", id="no-master-in-the-chain"
        ),
    ],
)
def test_bad_input_is_named_and_touches_nothing(more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "ADD", NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg


def test_all_keys_of_the_reference_are_known() -> None:
    """And the one of ours."""
    body: Any = NET | {
        "mode": "l3s",
        "mtu": 9000,
        "linkInContainer": False,
        "enabledad": True,
        "dns": {},
        "capabilities": {},
    }
    assert DELEGATE.declines(body, lambda _: True) is None
