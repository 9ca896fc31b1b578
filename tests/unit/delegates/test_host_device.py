# SPDX-License-Identifier: Apache-2.0
"""host-device's configuration; what it does to a kernel stands in tests/contract and tests/kernel."""

from pathlib import Path
from typing import Any

import pytest

from delegates import host_device
from delegates._hardware import Hardware
from delegates.host_device import DELEGATE
from metacni.cni.errors import CniError
from tests.unit.delegates.calls import Ipam, serve

NET: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "host-device"}
NIC: dict[str, Any] = NET | {"device": "ens5"}
PCI = "0000:3b:02.1"


@pytest.mark.parametrize(
    ("more", "visible", "expected"),
    [
        pytest.param({"device": "ens5"}, False, None, id="by-name"),
        pytest.param({"hwaddr": "02:00:5e:00:00:09"}, False, None, id="by-mac"),
        pytest.param(
            {"Device": "a", "hwaddr": "", "kernelpath": "/sys/devices/x", "pciBusID": PCI, "DPDKMode": False,
             "enabledad": True, "dns": {}, "runtimeConfig": {"deviceID": "x", "ips": [], "ipRanges": []},
             "capabilities": {"deviceID": True}, "prevResult": {}, "args": {}}, True, None, id="all-that-is-known",
        ),
        pytest.param({"device": "a", "mtu": 1400}, True, "key 'mtu' (1400) is not known", id="unknown"),
        pytest.param(
            {"device": "a", "runtimeConfig": {"mac": "x"}}, True,
            "key 'runtimeConfig.mac' (\"x\") is not carried out", id="capability",
        ),
        pytest.param(
            {"pciBusID": PCI}, False,
            "path '/sys', where key 'pciBusID' is looked up, is not mounted in the agent", id="pci-not-visible",
        ),
        pytest.param(
            {"runtimeConfig": {"deviceID": PCI}}, False,
            "path '/sys', where key 'runtimeConfig.deviceID' is looked up, is not mounted in the agent",
            id="allocated-not-visible",
        ),
    ],
)  # fmt: skip
def test_reasons_to_leave_it_to_another(
    more: dict[str, Any], visible: bool, expected: str | None  # noqa: FBT001 - a row
) -> None:  # fmt: skip
    """Whatever would not be done to the letter."""
    assert DELEGATE.declines(NET | more, lambda _: visible) == expected


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({}, 7, "names no device", id="none"),
        pytest.param({"runtimeConfig": {"deviceID": ""}}, 7, "names no device", id="empty"),
        pytest.param({"device": 1}, 6, "device", id="number"),
        pytest.param({"device": "a/b"}, 7, "'device'", id="path"),
        pytest.param({"device": " ens5"}, 7, "'device'", id="space"),
        pytest.param({"device": "x" * 128}, 7, "'device'", id="too-long"),
        pytest.param({"hwaddr": "02:00:5e:00:00"}, 7, "'hwaddr'", id="five-bytes"),
        pytest.param({"hwaddr": "02:00:5e:00:00:09:01"}, 7, "'hwaddr'", id="seven-bytes"),
        pytest.param({"hwaddr": "02:00-5e:00:00:09"}, 7, "'hwaddr'", id="mixed"),
        pytest.param({"hwaddr": "00:00:00:00:00:00"}, 7, "'hwaddr'", id="nobodys"),
        pytest.param({"kernelpath": "/sys/devices/../class"}, 7, "'kernelpath'", id="out-of-the-tree"),
        pytest.param({"pciBusID": "../x"}, 7, "'pciBusID'", id="out-of-the-bus"),
        pytest.param({"runtimeConfig": {"deviceID": ".."}}, 7, "'runtimeConfig.deviceID'", id="allocated-path"),
        pytest.param({"device": "a", "wheels": 4}, 2, "'wheels' (4)", id="unknown"),
        pytest.param({"device": "a", "ipam": "x"}, 6, "ipam", id="ipam-no-object"),
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "CHECK", "STATUS"])
def test_bad_input_is_named_and_touches_nothing(verb: str, more: dict[str, Any], code: int, says: str) -> None:
    """The edges fail the test when they are used."""
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, verb, NET | more)
    assert caught.value.code == code
    assert says in caught.value.msg


@pytest.mark.parametrize(
    "text",
    [
        "02:00:5e:00:00:09", "02-00-5E-00-00-09", "0200.5e00.0009", "02:00:5e:00:00:09:00:01",
        ":".join(["80"] * 20),
    ],
)  # fmt: skip
def test_hardware_addresses_of_any_length_a_link_has(text: str) -> None:
    """As Go reads them; InfiniBand's are 20 bytes."""
    assert serve(DELEGATE, "STATUS", NET | {"hwaddr": text}) == {}


def driven(tree: Path, driver: str) -> Hardware:
    """A tree with one PCI device."""
    device = tree / "bus/pci/devices" / PCI
    (tree / "bus/pci/drivers" / driver).mkdir(parents=True)
    device.mkdir(parents=True)
    (device / "driver").symlink_to(tree / "bus/pci/drivers" / driver)
    return Hardware(tree)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"pciBusID": PCI}, id="pci"),
        pytest.param({"runtimeConfig": {"deviceID": PCI}}, id="allocated"),
        pytest.param({"device": "ens5", "pciBusID": PCI}, id="named-besides"),
    ],
)
def test_a_device_of_a_program_is_not_moved(tmp_path: Path, more: dict[str, Any]) -> None:
    """The IPAM alone runs, and neither node nor pod is touched; the result names the interface (E50)."""
    delegate = host_device.over(driven(tmp_path, "vfio-pci"))
    ipam = Ipam('{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.5/24"}],"dns":{"search":["a"]}}')
    config = NET | more | {"ipam": {"type": "far"}}
    result = serve(delegate, "ADD", config, ipam=ipam)
    assert result == {
        "cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/p"}],
        "ips": [{"address": "10.1.0.5/24", "interface": 0}], "dns": {"search": ["a"]},
    }  # fmt: skip
    assert serve(delegate, "CHECK", config | {"prevResult": result}, ipam=ipam) == {}
    assert [verb for _, verb, _ in ipam.asked] == ["ADD", "CHECK"]


def test_an_allocation_that_the_node_does_not_have(tmp_path: Path) -> None:
    """Code 7, before anything is touched."""
    delegate = host_device.over(driven(tmp_path, "vfio-pci"))
    with pytest.raises(CniError, match="no such PCI or auxiliary device") as caught:
        serve(delegate, "ADD", NET | {"runtimeConfig": {"deviceID": "0000:99:00.0"}})
    assert caught.value.code == 7


def test_status_is_the_ipams() -> None:
    """Without one it is well."""
    assert serve(DELEGATE, "STATUS", NIC) == {}
    with pytest.raises(CniError) as caught:
        serve(DELEGATE, "STATUS", NIC | {"ipam": {"type": "far"}}, ipam=Ipam(refuses=CniError(50, "empty")))
    assert caught.value.code == 50
