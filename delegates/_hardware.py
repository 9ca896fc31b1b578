# SPDX-License-Identifier: Apache-2.0
"""Which link belongs to a piece of hardware, as sysfs tells it. The tree is handed in, so that a test can make one.

A path made of what a user wrote never leaves its folder: names are checked where the configuration is read. Must not
touch a link.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.netns.sandbox import cause

SYSFS: Final = Path("/sys")
PCI: Final = "bus/pci/devices"
AUXILIARY: Final = "bus/auxiliary/devices"
DEVICES: Final = "devices"
USERSPACE: Final = frozenset({"vfio-pci", "uio_pci_generic", "igb_uio"})
"""Drivers that hand the device to a program: no link is left to move (E50)."""


class Hardware:
    """The devices of a node."""

    def __init__(self, sysfs: Path = SYSFS) -> None:
        """Read from this tree."""
        self._sysfs = sysfs

    def has_pci(self, address: str) -> bool:
        """Whether there is such a PCI device."""
        return (self._sysfs / PCI / address).exists()

    def has_auxiliary(self, name: str) -> bool:
        """Whether there is such a device on the auxiliary bus, as the subfunctions of a NIC are."""
        return (self._sysfs / AUXILIARY / name).exists()

    def is_userspaces(self, address: str) -> bool:
        """Whether a PCI device is driven by a program.

        Raises:
            CniError: code 7, there is no such device, or nothing drives it.
        """
        driver = self._sysfs / PCI / address / "driver"
        try:
            return driver.resolve(strict=True).name in USERSPACE
        except OSError as error:
            what = "has no driver" if self.has_pci(address) else "is not there"
            raise CniError(Code.CONFIG, f"cannot use PCI device {address!r}: it {what}") from error

    def of_pci(self, address: str) -> str:
        """The name of a PCI device's link; a virtio NIC has it one level below. Raises CniError: code 7."""
        device = self._sysfs / PCI / address
        folders = [device / "net", *(found / "net" for found in sorted(device.glob("virtio*")))]
        return _first(folders, f"PCI device {address!r}")

    def of_auxiliary(self, name: str) -> str:
        """The name of a link by its auxiliary device. Raises CniError: code 7."""
        return _first([self._sysfs / AUXILIARY / name / "net"], f"auxiliary device {name!r}")

    def at(self, kernel_path: str) -> str:
        """The name of the link below a path such as /sys/devices/pci0000:00/0000:00:03.0. Raises CniError: code 7."""
        return _first([self._sysfs / PurePosixPath(kernel_path).relative_to(SYSFS) / "net"], f"device {kernel_path!r}")


def kernel_path(key: str, text: str) -> str:
    """A path below /sys/devices, which it does not leave.

    Raises:
        CniError: code 7.
    """
    path, top = PurePosixPath(text), PurePosixPath(SYSFS, DEVICES)
    if not path.is_relative_to(top) or ".." in path.parts or path == top:
        raise CniError(Code.CONFIG, f"cannot use {key} {describe(text)}: not a path below {top}")
    return text


def device_name(key: str, text: str) -> str:
    """The name of a device on its bus, such as 0000:3b:02.1.

    Raises:
        CniError: code 7, it is more or less than one.
    """
    if "/" in text or text in (".", "..") or not text.isprintable():
        raise CniError(Code.CONFIG, f"cannot use {key} {describe(text)}: not the name of a device")
    return text


def _first(folders: list[Path], what: str) -> str:
    """The first link by name, as in Go."""
    for folder in folders:
        for name in _listed(folder, what):
            return name
    raise CniError(Code.CONFIG, f"cannot use {what}: it has no network interface on the node")


def _listed(folder: Path, what: str) -> Iterator[str]:
    try:
        yield from sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CniError(Code.IO, f"cannot look at {what}: {cause(error)}") from error
