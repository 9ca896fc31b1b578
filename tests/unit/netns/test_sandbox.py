# SPDX-License-Identifier: Apache-2.0
"""What is refused as a pod's namespace, or as a socket in it; what is accepted needs namespaces: tests/kernel."""

import errno
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metacni.cni.errors import CniError
from metacni.netns import sandbox


class OldKernelSocket(socket.socket):
    """A netlink socket as Linux before 5.14 has it: it cannot tell its namespace."""

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
        """Refuse SO_NETNS_COOKIE, the only option asked for."""
        assert (level, option, size) == (socket.SOL_SOCKET, 71, 8)
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def _own_netns() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _other_kind() -> int:
    return os.open("/proc/thread-self/ns/uts", os.O_RDONLY)


def _plain_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


@pytest.fixture
def own() -> Iterator[int]:
    """The test's own network namespace, standing in for the node's."""
    fd = _own_netns()
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        pytest.param(_own_netns, "it is the node's own", id="own"),
        pytest.param(_other_kind, "the descriptor is no network namespace", id="another-kind-of-namespace"),
        pytest.param(_plain_file, "the descriptor is no network namespace", id="plain-file"),
        pytest.param(_pipe, "the descriptor is no network namespace", id="pipe"),
        pytest.param(
            lambda: os.open("/proc/self/ns", os.O_RDONLY), "the descriptor is no network namespace", id="folder"
        ),
    ],
)
def test_anything_but_another_network_namespace_is_refused(make: Callable[[], int], cause: str) -> None:
    """A pod with hostNetwork, or whatever else a broken caller sends: code 8, before anything is opened."""
    fd = make()
    with pytest.raises(CniError, match=f"^cannot use the pod's network namespace: {cause}$") as caught:
        sandbox.require_foreign(fd)
    assert caught.value.code == 8
    os.close(fd)


def test_a_closed_descriptor_is_refused() -> None:
    """The cause is the kernel's, in one line."""
    with pytest.raises(CniError, match=r"^cannot use the pod's network namespace: bad file descriptor$"):
        sandbox.require_foreign(10**6)


@pytest.mark.parametrize("kind", [socket.socket, OldKernelSocket])
def test_a_socket_in_the_nodes_namespace_is_refused_and_closed(own: int, kind: type[socket.socket]) -> None:
    """By cookie, or before Linux 5.14 by inode: equal to ours means error, and nothing can be sent any more."""
    sock = kind(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE)
    with pytest.raises(CniError, match=r"^cannot use a socket: it is in the node's own network namespace$") as caught:
        sandbox.checked(sock, own)
    assert caught.value.code == 999
    assert sock.fileno() == -1


def test_identity_is_device_and_inode(own: int) -> None:
    """Two descriptors of one namespace have the same."""
    again = _own_netns()
    status = Path("/proc/thread-self/ns/net").stat()
    assert sandbox.identity(own) == sandbox.identity(again) == (status.st_dev, status.st_ino)
    os.close(again)


def test_a_refused_setns_is_an_oserror() -> None:
    """The number comes through ctypes unharmed."""
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        sandbox.enter(-1)
    assert caught.value.errno == errno.EBADF
