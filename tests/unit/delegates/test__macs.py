# SPDX-License-Identifier: Apache-2.0
"""MACs of our own choice."""

from delegates import _macs


def test_a_random_mac_is_nobodys() -> None:
    """Locally administered, no group's, and another one each time."""
    found = [_macs.random() for _ in range(50)]
    firsts = [int(mac.split(":")[0], 16) & 0x3 for mac in found]
    assert (set(firsts), {len(mac) for mac in found}, len(set(found))) == ({2}, {17}, 50)
