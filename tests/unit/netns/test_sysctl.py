# SPDX-License-Identifier: Apache-2.0
"""Settings as files: what has its value is left alone."""

import os
from pathlib import Path

import pytest

from metacni.netns import sysctl


def test_the_nodes_setting_is_written_once(tmp_path: Path) -> None:
    """What is right already is not written: it might be read-only, and somebody may watch it."""
    file = tmp_path / "ip_forward"
    file.write_text("0\n")
    sysctl.write_node(tmp_path, "ip_forward", "1")
    assert file.read_text().startswith("1")
    os.utime(file, (1, 1))
    sysctl.write_node(tmp_path, "ip_forward", "1")
    assert file.stat().st_mtime == 1


def test_a_setting_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The caller knows whether that is fine."""
    with pytest.raises(FileNotFoundError):
        sysctl.write_node(tmp_path, "ipv6/conf/all/forwarding", "1")


def test_the_pods_setting_goes_through_its_descriptor(tmp_path: Path) -> None:
    """Never through a path, which would be the node's."""
    file = tmp_path / "accept_dad"
    file.write_text("1\n")
    fd = os.open(file, os.O_RDWR)
    assert sysctl.write_pod({"accept_dad": fd}, "accept_dad", "0") is True
    assert sysctl.write_pod({"accept_dad": fd}, "other", "0") is False
    os.close(fd)
    assert file.read_text().startswith("0")
