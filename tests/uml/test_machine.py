# SPDX-License-Identifier: Apache-2.0
"""The harness itself: that tests of this folder run in the other kernel, and that their outcomes come back."""

import os
from collections.abc import Callable

import pytest

from tests.kernel.conftest import Ip, Namespace


def test_it_is_another_kernel() -> None:
    """Not this machine's, and root there."""
    assert os.uname().release.startswith("6.1.")
    assert os.geteuid() == 0


@pytest.mark.parametrize("kind", ["bond", "bridge", "dummy", "ifb", "vrf table 10", "vxlan id 5 dstport 4789"])
def test_it_has_link_kinds(pod: Callable[[], Namespace], ip: Ip, kind: str) -> None:
    """Each is loaded when it is first used."""
    one = pod()
    one.run("ip", "link", "add", "x0", "type", *kind.split())
    assert ip(one, "-d", "link", "show", "x0")[0]["linkinfo"]["info_kind"] == kind.split(maxsplit=1)[0]


@pytest.mark.parametrize("kind", ["ipvlan mode l3", "macvlan mode bridge", "vlan id 5"])
def test_it_has_links_on_links(pod: Callable[[], Namespace], ip: Ip, kind: str) -> None:
    """Those that this folder is for."""
    one = pod()
    one.run("ip", "link", "add", "d0", "type", "dummy")
    one.run("ip", "link", "add", "x0", "link", "d0", "type", *kind.split())
    assert ip(one, "-d", "link", "show", "x0")[0]["linkinfo"]["info_kind"] == kind.split(maxsplit=1)[0]
