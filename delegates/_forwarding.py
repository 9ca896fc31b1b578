# SPDX-License-Identifier: Apache-2.0
"""Having the node forward packets for its pods. Must not touch a link."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from metacni.cni.result import Address
from metacni.netns import sysctl
from metacni.netns.failures import failing

_SETTING: Final = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


def switch_on(settings: Path, ips: Sequence[Address]) -> None:
    """Have the node forward packets of each family that these addresses are of.

    Raises:
        CniError: code 5, the setting cannot be written.
    """
    for family in sorted({item.address.version for item in ips}):
        with failing(f"cannot switch on forwarding of IPv{family}", hint="is /proc/sys/net writable?"):
            sysctl.write_node(settings, _SETTING[family], "1")
