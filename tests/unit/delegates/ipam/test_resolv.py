# SPDX-License-Identifier: Apache-2.0
"""resolv.conf as glibc's lines go."""

from pathlib import Path

import pytest

from delegates.ipam import resolv
from metacni.cni.errors import CniError
from metacni.cni.result import Dns

TEXT = """
# nameserver 10.0.0.9
; nothing
nameserver 10.0.0.1
  nameserver   10.0.0.2
domain a.example
search a.example b.example
search c.example
options ndots:2 rotate
nameserver
sortlist 10.0.0.0
"""


def test_the_known_lines_are_taken() -> None:
    """Comments, half lines and others are not."""
    assert resolv.parse(TEXT) == Dns(
        nameservers=("10.0.0.1", "10.0.0.2"),
        domain="a.example",
        search=("a.example", "b.example", "c.example"),
        options=("ndots:2", "rotate"),
    )


def test_a_file_is_read(tmp_path: Path) -> None:
    """No path is nothing; a path that cannot be read is an error."""
    (tmp_path / "resolv.conf").write_text("nameserver 10.0.0.1\n")
    assert resolv.read(str(tmp_path / "resolv.conf")).nameservers == ("10.0.0.1",)
    assert resolv.read("") == Dns()
    with pytest.raises(CniError, match="resolvConf") as caught:
        resolv.read(str(tmp_path / "none"))
    assert caught.value.code == 5
