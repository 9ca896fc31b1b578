# SPDX-License-Identifier: Apache-2.0
"""The nftables verbs as bytes for a kernel in memory; with a real one they stand in tests/contract and tests/kernel."""

import errno
import struct
import threading

import pytest

from metacni.netns import expressions, nftables, wire
from metacni.netns.netlink import Netlink, Request, own_socket
from metacni.netns.nftables import Hook, Table
from tests.unit.netns.kernels import DONE, Kernel, ack, handle

TABLE = Table(nftables.INET, "t", "about t")
HEADER = 4
BEGIN, END = 0x10, 0x11


def parts(request: Request) -> dict[int, bytes]:
    """The attributes of a change."""
    return wire.attributes(request.body, HEADER)


def listed(handle_: int, comment: str, *phrases: bytes) -> tuple[int, int, bytes]:
    """A rule in a dump."""
    request = nftables.new_rule(TABLE, "c", phrases, comment)
    return 0xA06, 2, request.body + wire.attribute(3, struct.pack("!Q", handle_))


def test_changes_are_sent_as_one_batch() -> None:
    """Framed, in order, and the last one asks to be told."""
    kernel = Kernel()
    nftables.commit(handle(kernel), [nftables.new_table(TABLE), nftables.flush(TABLE, "c")])
    assert [(message.kind, message.flags) for message in kernel.sent] == [
        (BEGIN, 0x1), (0xA00, 0x401), (0xA08, 0x5), (END, 0x1)
    ]  # fmt: skip
    assert {message.sequence for message in kernel.sent} == {1}
    assert kernel.sent[0].body == kernel.sent[3].body == b"\0\0\0\x0a"


def test_nothing_to_change_asks_nothing() -> None:
    """Not even an empty batch."""
    kernel = Kernel()
    nftables.commit(handle(kernel), [])
    assert kernel.sent == []


def test_the_first_refusal_counts() -> None:
    """The acknowledgement of the last one, which comes behind it, is not taken for success, nor for the next answer."""
    kernel = Kernel([ack(errno.EPERM), ack(0)], [ack(errno.EEXIST)])
    netlink = handle(kernel)
    with pytest.raises(PermissionError):
        nftables.commit(netlink, [nftables.new_table(TABLE)])
    with pytest.raises(FileExistsError):
        nftables.commit(netlink, [nftables.new_table(TABLE)])


@pytest.mark.parametrize(
    ("request_", "kind", "expected"),
    [
        pytest.param(nftables.new_table(TABLE), 0xA00, {1: b"t\0", 6: b"\0\x08about t\0"}, id="table"),
        pytest.param(nftables.new_chain(TABLE, "c"), 0xA03, {1: b"t\0", 3: b"c\0"}, id="chain"),
        pytest.param(
            nftables.new_chain(TABLE, "c", Hook(kind="nat", number=4, priority=-300), "x"), 0xA03,
            {1: b"t\0", 3: b"c\0", 7: b"nat\0", 12: b"\0\2x\0",
             4: b"\x08\0\1\0\0\0\0\4\x08\0\2\0\xff\xff\xfe\xd4"}, id="base-chain",
        ),
        pytest.param(nftables.flush(TABLE, "c"), 0xA08, {1: b"t\0", 2: b"c\0"}, id="flush"),
        pytest.param(nftables.delete_chain(TABLE, "c"), 0xA05, {1: b"t\0", 3: b"c\0"}, id="delete-chain"),
    ],
)  # fmt: skip
def test_a_change_names_what_it_is_about(request_: Request, kind: int, expected: dict[int, bytes]) -> None:
    """Numbers in network byte order; the family in the header."""
    assert request_.kind == kind
    assert request_.body[:HEADER] == b"\1\0\0\0"
    assert parts(request_) == expected


def test_a_rule_is_read_back() -> None:
    """Its handle, remark, target and constants; one without the wanted text is passed over."""
    phrases = [*expressions.from_link("veth0"), *expressions.jump("there")]
    kernel = Kernel([listed(7, "mine", *phrases), listed(8, "his", *expressions.drop()), (DONE, 2, bytes(4))])
    (rule,) = nftables.rules(handle(kernel), TABLE, "c", "mine")
    assert (rule.handle, rule.comment, rule.target) == (7, "mine", "there")
    assert rule.constants == (b"veth0".ljust(16, b"\0"),)
    assert parts(nftables.delete_rule(TABLE, "c", rule))[3] == b"\0\0\0\0\0\0\0\7"


def test_rules_that_stand_elsewhere_are_passed_over() -> None:
    """An old kernel lists all: their handles would delete a rule of ours, or of anybody's."""
    elsewhere = [
        nftables.new_rule(Table(nftables.BRIDGE, "t"), "c", (), "x"),
        nftables.new_rule(Table(nftables.INET, "t2"), "c", (), "x"),
        nftables.new_rule(TABLE, "c2", (), "x"),
    ]
    bodies = [(0xA06, 2, request.body + wire.attribute(3, bytes(8))) for request in elsewhere]
    assert nftables.rules(handle(Kernel([*bodies, (DONE, 2, bytes(4))])), TABLE, "c", "x") == []


def test_a_long_remark_is_cut_as_nft_cuts_it() -> None:
    """128 bytes and the NUL."""
    remark = parts(nftables.new_rule(TABLE, "c", (), "x" * 200))[7]
    assert remark == b"\0\x81" + b"x" * 128 + b"\0"


@pytest.mark.parametrize(
    ("number", "expected"), [pytest.param(0, True, id="there"), pytest.param(errno.ENOENT, False, id="gone")]
)
def test_a_chain_is_looked_for(number: int, expected: bool) -> None:  # noqa: FBT001 - a row
    """Not there is an answer."""
    answer = [(0xA03, 0, b"\1\0\0\0")] if expected else [ack(number)]
    assert nftables.has_chain(handle(Kernel(answer)), TABLE, "c") is expected


def test_a_table_that_is_not_there_has_no_rules() -> None:
    """Newer kernels say so, older ones list nothing."""
    assert nftables.rules(handle(Kernel([ack(errno.ENOENT)])), TABLE, "c") == []
    assert nftables.rules(handle(Kernel([(DONE, 2, bytes(4))])), TABLE, "c") == []


def test_a_plan_is_made_anew_when_somebody_was_quicker() -> None:
    """What was to be deleted is gone: look again; other refusals are told at once."""
    kernel = Kernel([ack(errno.ENOENT)], [ack(errno.ENOENT)])
    looked: list[int] = []

    def plan() -> list[Request]:
        looked.append(1)
        return [nftables.delete_chain(TABLE, "c")]

    nftables.settle(handle(kernel), plan)
    assert len(looked) == 3
    with pytest.raises(PermissionError):
        nftables.settle(handle(Kernel([ack(errno.EPERM)])), plan)
    assert len(looked) == 4


def test_what_never_settles_is_told() -> None:
    """It is not looked for ever."""
    kernel = Kernel(*[[ack(errno.ENOENT)]] * 30)
    with pytest.raises(FileNotFoundError):
        nftables.settle(handle(kernel), lambda: [nftables.delete_chain(TABLE, "c")])


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_kernel_without_nftables_has_nothing_to_take_away(number: int) -> None:
    """For any other reason it is told."""
    with nftables.absent_is_fine():
        raise OSError(number, "x")
    with pytest.raises(PermissionError), nftables.absent_is_fine():
        raise PermissionError(errno.EPERM, "x")


def test_a_thread_keeps_its_handle() -> None:
    """The same one for the same namespace; another thread has another."""
    others: list[Netlink] = []

    def beside() -> None:
        with Netlink(own_socket()) as links:
            others.append(nftables.beside(links))

    with Netlink(own_socket()) as links:
        mine = nftables.beside(links)
    with Netlink(own_socket()) as links:
        assert nftables.beside(links) is mine
    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert others[0] is not mine
