# SPDX-License-Identifier: Apache-2.0
"""What all links of the pod alone have in common, without a kernel."""

from typing import Any

import pytest

from delegates import dummy, ipvlan, macvlan, vlan
from delegates._skeleton import Delegate
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import Ipam, serve

ALL = [pytest.param(module.DELEGATE, id=module.DELEGATE.name) for module in (macvlan, ipvlan, vlan, dummy)]
FAR = {"cniVersion": "1.1.0", "name": "net", "type": "x", "ipam": {"type": "far"}}


@pytest.mark.parametrize("delegate", ALL)
def test_del_gives_the_addresses_back_whatever_stands_there_by_now(delegate: Delegate[Any]) -> None:
    """No master is looked for, and no key but the IPAM's is read."""
    ipam = Ipam()
    edited = FAR | {"master": 7, "mode": "none", "mtu": "x", "vlanId": -1, "mac": "x", "wheels": 4}
    for _ in range(2):
        serve(delegate, "DEL", edited, ipam=ipam)
    assert [verb for _, verb, _ in ipam.asked] == ["DEL", "DEL"]


@pytest.mark.parametrize("delegate", ALL)
def test_garbage_is_the_ipams(delegate: Delegate[Any]) -> None:
    """The links have gone with their pods."""
    ipam = Ipam()
    serve(delegate, "GC", FAR | {"cni.dev/valid-attachments": []}, ipam=ipam)
    assert [verb for _, verb, _ in ipam.asked] == ["GC"]


@pytest.mark.parametrize("delegate", ALL)
def test_status_is_the_ipams(delegate: Delegate[Any]) -> None:
    """Its refusal keeps its code."""
    config = FAR | ({"master": "e0"} if delegate.name == "vlan" else {})
    ipam = Ipam()
    assert serve(delegate, "STATUS", config, ipam=ipam) == {}
    assert [verb for _, verb, _ in ipam.asked] == ["STATUS"]
    with pytest.raises(CniError) as caught:
        serve(delegate, "STATUS", config, ipam=Ipam(refuses=CniError(50, "empty")))
    assert caught.value.code == 50


@pytest.mark.parametrize("delegate", ALL)
def test_check_needs_a_result(delegate: Delegate[Any]) -> None:
    """Before anything is looked at."""
    config = FAR | ({"master": "e0"} if delegate.name == "vlan" else {})
    with pytest.raises(CniError, match="prevResult") as caught:
        serve(delegate, "CHECK", config)
    assert caught.value.code == 7


@pytest.mark.parametrize("name", ["ipvlan", "vlan", "dummy"])
def test_some_need_an_ipam(name: str) -> None:
    """No type is none."""
    delegate = {module.DELEGATE.name: module.DELEGATE for module in (ipvlan, vlan, dummy)}[name]
    config = FAR | {"ipam": {}} | ({"master": "e0"} if name != "dummy" else {})
    with pytest.raises(CniError, match=f"'ipam': {name}") as caught:
        serve(delegate, "ADD", config)
    assert caught.value.code == 7
