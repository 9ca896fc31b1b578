# SPDX-License-Identifier: Apache-2.0
"""The opener's life and its refusals; entering namespaces needs root: tests/kernel/test_netns_opener.py."""

import os
from collections.abc import Iterator

import pytest

from metacni.cni.errors import CniError
from metacni.netns import opener as opening
from metacni.netns.opener import Opener


@pytest.fixture
def own() -> Iterator[int]:
    """The test's own network namespace."""
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_our_own_namespace_is_never_entered(own: int) -> None:
    """A pod with hostNetwork is refused before the thread is asked."""
    opener = Opener()
    opener.start()
    with pytest.raises(CniError, match="it is the node's own") as caught:
        opener.socket(own)
    assert caught.value.code == 8
    opener.stop()


def test_starting_and_stopping_leaves_no_descriptor() -> None:
    """The way home is closed when the thread ends."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    opener = Opener()
    opener.start()
    opener.stop()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("ipv6/conf/../../../kernel/core_pattern", id="upwards"),
    ],
)
def test_a_sysctl_lies_below_proc_sys_net(name: str) -> None:
    """The name holds an interface's name: it must not lead a root process elsewhere."""
    with pytest.raises(ValueError, match="does not name a file below /proc/sys/net"):
        opening._sysctl(opening.SYSCTLS, name)


def test_a_sysctl_that_does_not_exist_is_none() -> None:
    """No such interface, or no IPv6: whoever wanted it decides what that means."""
    assert opening._sysctl(opening.SYSCTLS, "ipv6/conf/no-such-link/accept_ra_defrtr") is None
