# SPDX-License-Identifier: Apache-2.0
"""Hardware as a tree like sysfs tells it; the tree is the test's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from delegates import _hardware
from delegates._hardware import Hardware
from metacni.cni.errors import CniError

PCI = "0000:3b:02.1"


def made(tree: Path, *folders: str) -> Hardware:
    """A tree with these folders."""
    for folder in folders:
        (tree / folder).mkdir(parents=True)
    return Hardware(tree)


def test_a_pci_devices_link(tmp_path: Path) -> None:
    """The first by name."""
    hardware = made(tmp_path, f"bus/pci/devices/{PCI}/net/ens5f1", f"bus/pci/devices/{PCI}/net/ens5f0")
    assert hardware.has_pci(PCI)
    assert hardware.of_pci(PCI) == "ens5f0"


def test_a_virtio_devices_link_is_one_level_below(tmp_path: Path) -> None:
    """The PCI device is virtio's transport only."""
    assert made(tmp_path, f"bus/pci/devices/{PCI}/virtio3/net/eth1").of_pci(PCI) == "eth1"


def test_other_devices_links(tmp_path: Path) -> None:
    """By the auxiliary bus, and by the path in the tree of devices."""
    hardware = made(
        tmp_path, "bus/auxiliary/devices/mlx5_core.sf.4/net/sf4", f"devices/pci0000:3a/{PCI}/net/ens5", "devices/x/net"
    )
    assert hardware.has_auxiliary("mlx5_core.sf.4")
    assert hardware.of_auxiliary("mlx5_core.sf.4") == "sf4"
    assert hardware.at(f"/sys/devices/pci0000:3a/{PCI}") == "ens5"


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda hardware: hardware.of_pci("0000:99:00.0"), id="no-device"),
        pytest.param(lambda hardware: hardware.of_pci(PCI), id="no-link"),
        pytest.param(lambda hardware: hardware.of_auxiliary("x.y.1"), id="no-auxiliary"),
        pytest.param(lambda hardware: hardware.at("/sys/devices/x"), id="no-path"),
        pytest.param(lambda hardware: hardware.at("/sys/devices/file"), id="no-folder"),
        pytest.param(lambda hardware: hardware.is_userspaces(PCI), id="no-driver"),
        pytest.param(lambda hardware: hardware.is_userspaces("0000:99:00.0"), id="driver-of-none"),
    ],
)
def test_hardware_without_a_link_is_an_error(tmp_path: Path, look: Callable[[Hardware], object]) -> None:
    """Code 7, naming it."""
    hardware = made(tmp_path, f"bus/pci/devices/{PCI}/net", "devices")
    (tmp_path / "devices/file").touch()
    with pytest.raises(CniError, match="device '") as caught:
        look(hardware)
    assert caught.value.code == 7


@pytest.mark.parametrize(
    ("driver", "expected"),
    [("vfio-pci", True), ("uio_pci_generic", True), ("igb_uio", True), ("ice", False), ("virtio-pci", False)],
)
def test_some_drivers_hand_a_device_to_a_program(tmp_path: Path, driver: str, expected: bool) -> None:  # noqa: FBT001
    """Told by the link to the driver (E50)."""
    hardware = made(tmp_path, f"bus/pci/devices/{PCI}", f"bus/pci/drivers/{driver}")
    (tmp_path / f"bus/pci/devices/{PCI}/driver").symlink_to(f"../../drivers/{driver}")
    assert hardware.is_userspaces(PCI) is expected


@pytest.mark.parametrize(
    "text",
    ["/sys/devices", "/sys/devices/", "/sys/devicesx", "devices/x", "/sys/devices/../class/net/lo", "/etc", "/sys"],
)
def test_a_path_stays_below_the_tree_of_devices(text: str) -> None:
    """Code 7, naming key and value."""
    with pytest.raises(CniError, match="kernelpath") as caught:
        _hardware.kernel_path("key 'kernelpath'", text)
    assert caught.value.code == 7
    assert _hardware.kernel_path("key 'kernelpath'", "/sys/devices/x..y") == "/sys/devices/x..y"


@pytest.mark.parametrize("text", ["..", ".", "a/b", "/", "x\n", "x\0"])
def test_the_name_of_a_device_is_one_name(text: str) -> None:
    """It would lead elsewhere."""
    with pytest.raises(CniError, match="pciBusID"):
        _hardware.device_name("key 'pciBusID'", text)
    assert _hardware.device_name("key 'pciBusID'", PCI) == PCI
