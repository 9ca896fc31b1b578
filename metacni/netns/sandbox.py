# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as file descriptors: what one is, whether it is a pod's, whether a socket belongs to it.

A write meant for a pod that lands on the node cuts the node off. So each fact is asked of the kernel, about the very
descriptor or socket in hand, before the first write. This is the one place that calls setns. Must not send anything.
"""

import ctypes
import errno
import fcntl
import os
import socket
import threading
from typing import Final

from metacni.cni.errors import CniError, Code

OWN: Final = "/proc/thread-self/ns/net"
"""The calling thread's namespace: /proc/self is the main thread's, and namespaces belong to threads."""

_CLONE_NEWNET: Final = 0x40000000
_NS_GET_NSTYPE: Final = 0xB703  # ioctl on a namespace's descriptor: which kind it is
_SIOCGSKNS: Final = 0x894C  # ioctl on a socket: a descriptor of its namespace
_SO_NETNS_COOKIE: Final = 71  # not in `socket` yet; since Linux 5.14

_UNUSABLE: Final = "cannot use the pod's network namespace"
_HOST_NETWORK: Final = "pods with hostNetwork get no networks: look at what the runtime gave as CNI_NETNS"
_WRONG_SOCKET: Final = "this is a fault of metacni, please report it"

_libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12


def enter(netns_fd: int) -> None:
    """Move the calling thread, and no other, into a network namespace. Raises OSError."""
    if _libc.setns(netns_fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def cause(error: OSError) -> str:
    """What went wrong, as the end of a message."""
    return os.strerror(error.errno or 0).lower()


def identity(netns_fd: int) -> tuple[int, int]:
    """Device and inode: two descriptors with the same pair are the same namespace."""
    status = os.fstat(netns_fd)
    return status.st_dev, status.st_ino


def own_identity() -> tuple[int, int]:
    """Device and inode of the namespace that the calling thread is in."""
    status = os.stat(OWN)  # noqa: PTH116 - one call, on the hot path
    return status.st_dev, status.st_ino


def require_foreign(netns_fd: int) -> None:
    """Refuse a descriptor that is no network namespace, or is the caller's own.

    Raises:
        CniError: code 8.
    """
    own = own_identity()
    try:
        found = identity(netns_fd)
        kind = fcntl.ioctl(netns_fd, _NS_GET_NSTYPE) if found[0] == own[0] else 0  # of another device: no namespace
    except OSError as error:
        raise CniError(Code.NETNS, f"{_UNUSABLE}: {cause(error)}") from error
    if kind != _CLONE_NEWNET:
        raise CniError(Code.NETNS, f"{_UNUSABLE}: the descriptor is no network namespace")
    if found == own:
        raise CniError(Code.NETNS, f"{_UNUSABLE}: it is the node's own", _HOST_NETWORK)


def is_network_namespace(fd: int) -> bool:
    """Whether a descriptor is one at all; the file of a namespace that was unmounted is a plain file (E15)."""
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError:
        return False


def checked(sock: socket.socket, netns_fd: int) -> socket.socket:
    """The same socket, if it stands in the namespace `netns_fd` and not in the caller's; otherwise it is closed.

    Raises:
        CniError: code 999; nothing was sent.
    """
    try:
        _require_not_ours(sock, netns_fd)
        _require_in(sock, netns_fd)
    except BaseException:
        sock.close()
        raise
    return sock


def identity_of(sock: socket.socket) -> tuple[int, int]:
    """Device and inode of the namespace that a socket stands in. Raises OSError."""
    fd = fcntl.ioctl(sock.fileno(), _SIOCGSKNS)
    try:
        return identity(fd)
    finally:
        os.close(fd)


def open_of(sock: socket.socket) -> int:
    """A descriptor of the namespace that a socket stands in, for the caller to close. Raises OSError."""
    return fcntl.ioctl(sock.fileno(), _SIOCGSKNS)


def socket_beside(sock: socket.socket, protocol: int) -> socket.socket:
    """A netlink socket of another protocol, bound, in the namespace of this one. Raises OSError.

    As a rule that is the calling thread's; into any other goes a thread that ends there.
    """
    fd = fcntl.ioctl(sock.fileno(), _SIOCGSKNS)
    try:
        return _bound(protocol) if identity(fd) == own_identity() else _bound_in(fd, protocol)
    finally:
        os.close(fd)


def _bound(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, 0))
    return sock


def _bound_in(netns_fd: int, protocol: int) -> socket.socket:
    found: list[socket.socket | OSError] = []

    def visit() -> None:
        try:
            enter(netns_fd)
            found.append(_bound(protocol))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=visit, name="netns-visitor", daemon=True)
    thread.start()
    thread.join()
    (result,) = found
    if isinstance(result, OSError):
        raise result
    return result


def _require_not_ours(sock: socket.socket, netns_fd: int) -> None:
    try:
        cookie = _cookie(sock)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise CniError(Code.INTERNAL, f"cannot tell the namespace of a socket: {cause(error)}") from error
        ours = identity(netns_fd) == own_identity()  # before Linux 5.14
    else:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as own:
            ours = cookie == _cookie(own)
    if ours:
        raise CniError(Code.INTERNAL, "cannot use a socket: it is in the node's own network namespace", _WRONG_SOCKET)


def _require_in(sock: socket.socket, netns_fd: int) -> None:
    try:
        found = identity_of(sock)
    except OSError:
        return  # an old kernel, or no NET_ADMIN there: then the check above stands alone
    if found != identity(netns_fd):
        raise CniError(Code.INTERNAL, "cannot use a socket: it is in another pod's network namespace", _WRONG_SOCKET)


def _cookie(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
