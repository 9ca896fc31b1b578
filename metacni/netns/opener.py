# SPDX-License-Identifier: Apache-2.0
"""The one thread that enters the pods' network namespaces, for a moment each, to open what others then work with.

A namespace belongs to a thread, and an error on the way back would leave a thread in a pod, where its next job's
writes for the node, or for another pod, would go. So a thread that does nothing else goes there, opens a netlink socket
and the wanted files of /proc/sys/net (they show the namespace of the thread that opened them, whoever reads or writes
them) and comes back; if it cannot come back, the process ends. Must not send, read or write anything.
"""

import os
import queue
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.netns import sandbox

PATIENCE: Final = 10.0
"""Seconds a caller waits: opening takes well under a millisecond, so a longer wait means a thread that hangs."""

EXIT_STATUS: Final = 70
"""How the process ends when the thread cannot come back (EX_SOFTWARE)."""

_STDERR: Final = 2
SYSCTLS: Final = Path("/proc/sys/net")
"""The kernel's own place; a container cannot write there, and has the folder mounted elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the thread opened in a pod; whoever gets it closes it."""

    socket: socket.socket
    sysctls: Mapping[str, int] = field(default_factory=dict)
    """Descriptors, open to read and write, by the name asked for; names that do not exist there are absent."""

    def close(self) -> None:
        """Close all of it."""
        self.socket.close()
        for fd in self.sysctls.values():
            os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    netns_fd: int  # the request's own duplicate: the caller may give up, close his and have the number used anew
    sysctls: Sequence[str]
    answer: Future[Opened]


class Opener:
    """The thread. Any thread may ask; requests are served one after the other."""

    def __init__(self, sysctls: Path = SYSCTLS) -> None:
        """Start nothing yet; `sysctls` is a folder that shows /proc/sys/net, to be written in."""
        self._sysctls = sysctls
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="netns-opener", daemon=True)
        self._home = -1
        self._home_identity = (0, 0)

    def start(self) -> None:
        """Start the thread; the namespace of the thread that calls this is home."""
        self._home = os.open(sandbox.OWN, os.O_RDONLY | os.O_CLOEXEC)
        self._home_identity = sandbox.identity(self._home)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after what was asked before."""
        self._requests.put(None)
        self._thread.join()

    def socket(self, netns_fd: int) -> socket.socket:
        """A NETLINK_ROUTE datagram socket of that namespace: bound, not blocking, and checked to be there.

        Raises:
            CniError: as `open`.
        """
        return self.open(netns_fd).socket

    def open(self, netns_fd: int, sysctls: Sequence[str] = ()) -> Opened:
        """Such a socket, and files below /proc/sys/net there.

        Args:
            netns_fd: the pod's namespace; stays the caller's.
            sysctls: names like `ipv6/conf/net1/accept_ra`.

        Raises:
            CniError: code 8, it is no network namespace, or our own, or cannot be entered; code 11, the thread hangs;
                code 5, a file cannot be opened; code 999, what was opened is not in that namespace.
        """
        sandbox.require_foreign(netns_fd)
        if not self._thread.is_alive():
            raise CniError(
                Code.TRY_AGAIN, "cannot enter the pod's network namespace: metacni is not running, or stopping"
            )
        answer: Future[Opened] = Future()
        self._requests.put(_Request(netns_fd=os.dup(netns_fd), sysctls=sysctls, answer=answer))
        try:
            opened = answer.result(PATIENCE)
        except TimeoutError:
            answer.add_done_callback(_discard)  # the thread may yet come to it
            raise CniError(
                Code.TRY_AGAIN, f"cannot enter the pod's network namespace: no turn within {PATIENCE:.0f} s"
            ) from None
        try:
            sandbox.checked(opened.socket, netns_fd)
        except BaseException:
            opened.close()
            raise
        return opened

    def _serve(self) -> None:
        try:
            while (request := self._requests.get()) is not None:
                self._answer(request)
        finally:
            os.close(self._home)

    def _answer(self, request: _Request) -> None:
        try:
            opened = self._visit(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's; the thread has to live on
            request.answer.set_exception(error)
        else:
            request.answer.set_result(opened)
        finally:
            os.close(request.netns_fd)

    def _visit(self, request: _Request) -> Opened:
        try:
            sandbox.enter(request.netns_fd)
        except OSError as error:  # then the thread has not moved
            raise CniError(Code.NETNS, f"cannot enter the pod's network namespace: {sandbox.cause(error)}") from error
        try:
            return _open_here(self._sysctls, request.sysctls)
        finally:
            self._come_home()

    def _come_home(self) -> None:
        try:
            sandbox.enter(self._home)
            if sandbox.own_identity() == self._home_identity:  # or the descriptor was closed, and its number used anew
                return
            reason = "the way home leads elsewhere"
        except OSError as error:
            reason = sandbox.cause(error)
        text = f"metacni: cannot leave a pod's network namespace: {reason}; the agent ends\n"
        os.write(_STDERR, text.encode())
        os._exit(EXIT_STATUS)


def _open_here(folder: Path, sysctls: Sequence[str]) -> Opened:
    with ExitStack() as undo:
        try:
            kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            sock = undo.enter_context(socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE))
            sock.bind((0, 0))
        except OSError as error:
            raise CniError(Code.IO, f"cannot open a netlink socket in the pod: {sandbox.cause(error)}") from error
        found = {}
        for name in sysctls:
            fd = _sysctl(folder, name)
            if fd is not None:
                undo.callback(os.close, fd)
                found[name] = fd
        undo.pop_all()
        return Opened(socket=sock, sysctls=found)


def _sysctl(folder: Path, name: str) -> int | None:
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name!r} does not name a file below {folder}")
    try:
        return os.open(folder / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CniError(
            Code.IO,
            f"cannot open sysctl {name!r} of the pod: {sandbox.cause(error)}",
            f"the agent needs {str(folder)!r} writable: mount the host's /proc/sys/net, and name it in `sysctlDir`",
        ) from error


def _discard(answer: Future[Opened]) -> None:
    if answer.exception() is None:
        answer.result().close()
