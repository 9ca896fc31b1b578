# SPDX-License-Identifier: Apache-2.0
"""A handle over a kernel in memory, and over the real one where it is only asked."""

import errno
from concurrent.futures import ThreadPoolExecutor

import pytest

from metacni.netns.netlink import Netlink, Request, own_socket
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

MULTI, INTERRUPTED = 0x2, 0x10
WHOLE = [(16, MULTI, b"aaaa"), (16, MULTI, b"bbbb"), (DONE, MULTI, bytes(4))]
INTERRUPTED_INSIDE = [(16, MULTI, b"aaaa"), (16, MULTI | INTERRUPTED, b"xxxx"), (DONE, MULTI, bytes(4))]
INTERRUPTED_AT_THE_END = [(16, MULTI, b"aaaa"), (DONE, MULTI | INTERRUPTED, bytes(4))]


def test_a_change_is_acknowledged() -> None:
    """The request asks for an answer and waits for it."""
    kernel = Kernel()
    handle(kernel).change(19, b"body", 0x400)
    assert [(message.kind, message.flags, message.body) for message in kernel.sent] == [(19, 0x405, b"body")]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        pytest.param(errno.EEXIST, FileExistsError, id="exists"),
        pytest.param(errno.ENODEV, OSError, id="no-device"),
        pytest.param(errno.EPERM, PermissionError, id="not-permitted"),
    ],
)
def test_a_refusal_is_an_os_error(number: int, kind: type[OSError]) -> None:
    """With the kernel's number, so that nothing is decided by text."""
    for ask in (Netlink.change, Netlink.get):
        with pytest.raises(kind) as caught:
            ask(handle(Kernel([ack(number)])), 18, b"")
        assert caught.value.errno == number


@pytest.mark.parametrize(
    ("dumps", "count"),
    [
        pytest.param([WHOLE], 1, id="whole"),
        pytest.param([INTERRUPTED_INSIDE, WHOLE], 2, id="interrupted-inside"),
        pytest.param([INTERRUPTED_AT_THE_END, INTERRUPTED_INSIDE, WHOLE], 3, id="only-the-end-says-so"),
    ],
)
def test_a_list_is_asked_for_until_nothing_changed(dumps: list[list[tuple[int, int, bytes]]], count: int) -> None:
    """An interrupted one may miss what was there all along."""
    kernel = Kernel(*dumps)
    assert handle(kernel).dump(18, b"") == [b"aaaa", b"bbbb"]
    assert len(kernel.sent) == count


def test_a_list_that_never_rests_is_an_error() -> None:
    """Ten looks, then the caller is told to try again."""
    with pytest.raises(InterruptedError, match="10 looks"):
        handle(Kernel(*[INTERRUPTED_INSIDE] * 10)).dump(18, b"")


def test_silence_is_an_error() -> None:
    """A kernel that does not answer, or an answer that is not the kernel's, is not waited for for ever."""
    with pytest.raises(OSError, match="timed out") as caught:
        handle(Kernel([ack(0)], sender=4711)).change(19, b"")
    assert caught.value.errno == errno.ETIMEDOUT


def test_an_answer_to_an_earlier_question_is_passed_over() -> None:
    """What was left unread, as the rest of a question that failed, is not taken for this one's answer."""
    kernel = Kernel([(16, 0, b"first")], [(16, 0, b"other")])
    netlink = handle(kernel)
    netlink._send(18, b"", 1)
    assert netlink.get(18, b"") == b"other"


def test_a_foreign_thread_sends_nothing() -> None:
    """Two threads would read each other's answers."""
    kernel = Kernel()
    netlink = handle(kernel)
    with ThreadPoolExecutor(1) as pool:
        for ask in (netlink.change, netlink.get, netlink.dump):
            with pytest.raises(RuntimeError, match="outside the thread"):
                pool.submit(ask, 18, b"").result()
    assert kernel.sent == []


def test_several_requests_are_one() -> None:
    """Sent in one go under one number; the first refusal is the answer to all."""
    kernel = Kernel([ack(errno.EPERM), ack(0)])
    with pytest.raises(PermissionError):
        handle(kernel).transact([Request(1, b"aaaa", 1), Request(2, b"bbbb", 5)])
    assert [(message.kind, message.flags, message.body, message.sequence) for message in kernel.sent] == [
        (1, 1, b"aaaa", 1), (2, 5, b"bbbb", 1)
    ]  # fmt: skip


def test_a_handle_beside_another_reaches_the_same_namespace() -> None:
    """Of another protocol: here the same one, which every kernel has."""
    with Netlink(own_socket()) as netlink, netlink.beside(0) as other:
        assert other.namespace() == netlink.namespace()
        assert b"lo\0" in b"".join(other.dump(18, bytes(16)))


def test_the_real_kernel_lists_its_loopback() -> None:
    """Over the calling thread's own namespace, only read."""
    with Netlink(own_socket()) as netlink:
        assert b"lo\0" in b"".join(netlink.dump(18, bytes(16)))
