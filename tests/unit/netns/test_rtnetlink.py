# SPDX-License-Identifier: Apache-2.0
"""Rtnetlink as a reader of the test's own namespace; whatever writes is in tests/kernel."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from metacni.netns.rtnetlink import Message, Rtnetlink, repeated

NLM_F_DUMP_INTR = 0x10
MULTI = 0x2


def _message(flags: int, name: str = "") -> Message:
    return {"header": {"flags": flags}, "name": name}


class Dumps:
    """A kernel that has these dumps to give, one after the other; each ends with its mark."""

    def __init__(self, *dumps: Sequence[Message]) -> None:
        self._dumps = iter(dumps)
        self.count = 0

    def __call__(self, note: Callable[[Message], None]) -> Sequence[Message]:
        """Give the next one."""
        self.count += 1
        messages = next(self._dumps)
        for message in messages:
            note(message)
        return messages[:-1]


WHOLE = (_message(MULTI, "a"), _message(MULTI, "b"), _message(MULTI))
CHANGED_MIDWAY = (_message(MULTI, "a"), _message(MULTI | NLM_F_DUMP_INTR, "c"), _message(MULTI))
CHANGED_AT_THE_END = (_message(MULTI, "a"), _message(MULTI | NLM_F_DUMP_INTR))


@pytest.mark.parametrize(
    ("dumps", "count"),
    [
        pytest.param((WHOLE,), 1, id="whole"),
        pytest.param((CHANGED_MIDWAY, WHOLE), 2, id="changed-midway"),
        pytest.param((CHANGED_AT_THE_END, WHOLE), 2, id="only-the-end-mark-says-so"),
        pytest.param((CHANGED_MIDWAY, CHANGED_AT_THE_END, WHOLE), 3, id="changed-twice"),
    ],
)
def test_a_dump_is_repeated_until_nothing_changed(dumps: tuple[Sequence[Message], ...], count: int) -> None:
    """An interrupted dump may miss what was there all along, so it is thrown away."""
    kernel = Dumps(*dumps)
    assert [message["name"] for message in repeated(kernel)] == ["a", "b"]
    assert kernel.count == count


def test_a_table_that_never_rests_is_an_error() -> None:
    """Ten looks, then the caller is told to try again; no half truth."""
    kernel = Dumps(*[CHANGED_MIDWAY] * 11)
    with pytest.raises(InterruptedError, match=r"^the kernel's tables changed during each of 10 looks$"):
        repeated(kernel)
    assert kernel.count == 10


@pytest.fixture
def netlink() -> Iterator[Rtnetlink]:
    """A handle to the test's own namespace, which is only read."""
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        handle = Rtnetlink(sock)
        yield handle
        handle.close()


def test_links_have_the_loopback_interface(netlink: Rtnetlink) -> None:
    """Index 1 is `lo` in every namespace."""
    assert netlink.links()[1] == "lo"


@pytest.mark.parametrize(("family", "number"), [(4, socket.AF_INET), (6, socket.AF_INET6)])
def test_routes_are_of_the_family_asked_for(netlink: Rtnetlink, family: int, number: int) -> None:
    """The family reaches the kernel: pyroute2 drops a message's fields without a word when they come another way."""
    assert {route["family"] for route in netlink.routes(family)} <= {number}


def test_a_foreign_thread_cannot_use_it(netlink: Rtnetlink) -> None:
    """It raises, each time, instead of opening a socket in the namespace of that thread."""
    raised: list[type[BaseException]] = []

    def use() -> None:
        for call in (netlink.links, netlink.links, lambda: netlink.routes(4)):
            try:
                call()
            except RuntimeError as error:
                raised.append(type(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert raised == [RuntimeError, RuntimeError, RuntimeError]
    assert netlink.links()[1] == "lo"
