# SPDX-License-Identifier: Apache-2.0
"""What a configuration wants of bridge and port, what CHECK says of them; on a kernel they are in tests/contract."""

from dataclasses import replace
from typing import Any

import pytest

from delegates import _bridging
from delegates._bridging import Wish
from delegates._vlans import Vlans
from metacni.cni.errors import CniError
from metacni.cni.result import Interface, Result
from metacni.netns.devices import Device

MAC = "02:00:5e:00:00:01"
BRIDGE = Device(
    index=3, name="br1", kind="bridge", mac=MAC, mtu=1500, flags=0x101, operational=True, master=0, peer=0, group=0,
    alias="", hairpin=False,
)  # fmt: skip
NEAR = replace(BRIDGE, index=4, name="veth1", kind="veth", master=3, peer=9)
FAR = replace(BRIDGE, index=9, name="eth0", kind="veth", peer=4)
RESULT = Result(interfaces=(Interface(name="br1", mac=MAC), Interface(name="veth1", mac=MAC.upper())))
WISH = Wish(bridge="br1", promiscuous=True)


def test_a_wish_is_read() -> None:
    """Every key of bridge and port; with none of them, the defaults."""
    body: dict[str, Any] = {
        "bridge": "br1", "mtu": 1400, "hairpinMode": True, "portIsolation": True, "vlan": 5, "promiscMode": False
    }  # fmt: skip
    expected = Wish(bridge="br1", mtu=1400, hairpin=True, isolated=True, vlans=Vlans(native=5, filtering=True))
    assert _bridging.parse(body) == expected
    assert _bridging.parse({}) == Wish(bridge="cni0")


@pytest.mark.parametrize(
    ("bridge", "wish", "result", "says"),
    [
        pytest.param(None, WISH, RESULT, "it is gone", id="gone"),
        pytest.param(replace(BRIDGE, kind="ifb"), WISH, RESULT, "it is no bridge", id="of-another-kind"),
        pytest.param(BRIDGE, WISH, Result(), "prevResult has no bridge 'br1'", id="not-reported"),
        pytest.param(replace(BRIDGE, mac="02:00:5e:00:00:02"), WISH, RESULT, "its MAC is 02:00:5e:00:00:02", id="mac"),
        pytest.param(replace(BRIDGE, flags=1), WISH, RESULT, "it is not promiscuous", id="not-promiscuous"),
    ],
)
def test_a_bridge_is_not_what_it_was(bridge: Device | None, wish: Wish, result: Result, says: str) -> None:
    """CHECK says in which way."""
    assert _bridging.check(BRIDGE, wish, RESULT, pinned=True) == BRIDGE
    with pytest.raises(CniError) as caught:
        _bridging.check(bridge, wish, result, pinned=True)
    assert says in caught.value.msg


def test_a_mac_that_comes_and_goes_is_not_compared() -> None:
    """Without a gateway a bridge that others made may take that of any port."""
    other = replace(BRIDGE, mac="02:00:5e:00:00:02")
    assert _bridging.check(other, WISH, RESULT, pinned=False) == other


@pytest.mark.parametrize(
    ("far", "near", "result", "says"),
    [
        pytest.param(replace(FAR, kind="macvlan"), NEAR, RESULT, "it is no veth", id="of-another-kind"),
        pytest.param(FAR, None, RESULT, "its end on the node is gone", id="near-end-gone"),
        pytest.param(FAR, replace(NEAR, peer=8), RESULT, "its end on the node is gone", id="another-ones-end"),
        pytest.param(FAR, replace(NEAR, master=0), RESULT, "is no port of the bridge", id="taken-out"),
        pytest.param(FAR, NEAR, Result(), "is not the reported one", id="not-reported"),
        pytest.param(FAR, replace(NEAR, mac="02:00:5e:00:00:02"), RESULT, "its MAC is 02:00:5e:00:00:02", id="mac"),
    ],
)
def test_a_cable_is_not_what_it_was(far: Device, near: Device | None, result: Result, says: str) -> None:
    """CHECK says in which way."""
    assert _bridging.check_cable(BRIDGE, FAR, NEAR, RESULT) == NEAR
    with pytest.raises(CniError) as caught:
        _bridging.check_cable(BRIDGE, far, near, result)
    assert says in caught.value.msg
