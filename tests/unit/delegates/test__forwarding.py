# SPDX-License-Identifier: Apache-2.0
"""Forwarding, over files that stand for the node's settings."""

from ipaddress import ip_interface
from pathlib import Path

import pytest

from delegates import _forwarding
from metacni.cni.errors import CniError
from metacni.cni.result import Address

V4, V6 = (Address(address=ip_interface(text)) for text in ("10.1.0.5/24", "fd01::5/64"))


def settings(folder: Path) -> list[Path]:
    """Both, switched off."""
    files = [folder / "ipv4/ip_forward", folder / "ipv6/conf/all/forwarding"]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("0\n")
    return files


def test_only_families_with_an_address_are_forwarded(tmp_path: Path) -> None:
    """The other one stays as it is."""
    four, six = settings(tmp_path)
    _forwarding.switch_on(tmp_path, [V6, V6])
    assert (four.read_text()[0], six.read_text()[0]) == ("0", "1")
    _forwarding.switch_on(tmp_path, [V4, V6])
    assert (four.read_text()[0], six.read_text()[0]) == ("1", "1")


def test_a_setting_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Code 5, with the family."""
    with pytest.raises(CniError, match="IPv4") as caught:
        _forwarding.switch_on(tmp_path, [V4])
    assert caught.value.code == 5
