# SPDX-License-Identifier: Apache-2.0
"""The kernel's verbs for nftables: changes as values, any number of which are made together or not at all.

Numbers are in network byte order here, unlike in rtnetlink. All raise OSError; must not know what any rule is for.
"""

import errno
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from metacni.netns import wire
from metacni.netns.netlink import ACK, CREATE, REQUEST, Netlink, Request
from metacni.netns.wire import attribute, nested

INET: Final = 1
IPV4: Final = 2
BRIDGE: Final = 7
IPV6: Final = 10

PREROUTING: Final = 0
POSTROUTING: Final = 4

_PROTOCOL: Final = 12  # NETLINK_NETFILTER
_SUBSYSTEM: Final = 10
_NEW_TABLE: Final = 0
_NEW_CHAIN: Final = 3
_GET_CHAIN: Final = 4
_DELETE_CHAIN: Final = 5
_NEW_RULE: Final = 6
_GET_RULE: Final = 7
_DELETE_RULE: Final = 8
_BEGIN: Final = 0x10
_END: Final = 0x11
_APPEND: Final = 0x800
_HEADER: Final = struct.Struct("!BBH")  # family, version, subsystem of a batch
_U32: Final = struct.Struct("!I")
_U64: Final = struct.Struct("!Q")
_I32: Final = struct.Struct("!i")

_NAME: Final = 1  # of a table
_TABLE_REMARKS: Final = 6
_TABLE: Final = 1  # of a chain, and of a rule
_CHAIN_NAME: Final = 3
_CHAIN_HOOK: Final = 4
_CHAIN_TYPE: Final = 7
_CHAIN_REMARKS: Final = 12
_HOOK_NUMBER: Final = 1
_HOOK_PRIORITY: Final = 2
_CHAIN: Final = 2  # of a rule
_HANDLE: Final = 3
_EXPRESSIONS: Final = 4
_RULE_REMARKS: Final = 7
_COMMENT: Final = 0  # the kind of remark that `nft` shows
MAX_COMMENT: Final = 128  # as `nft` has it, without the NUL
_ELEMENT: Final = 1
_EXPRESSION_NAME: Final = 1
_EXPRESSION_DATA: Final = 2
_CONSTANT: Final = 3  # what a comparison compares with
_IMMEDIATE: Final = 2
_VALUE: Final = 1
_VERDICT: Final = 2
_VERDICT_CHAIN: Final = 2
_TRIES: Final = 20
_ABSENT: Final = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)  # what the socket says, a question, a batch


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one family."""

    family: int
    name: str
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where a chain is entered from the kernel."""

    kind: str
    number: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as it stands in the kernel."""

    handle: int
    comment: str
    body: bytes
    """All of it: for who looks for what is not read here."""

    @property
    def target(self) -> str:
        """The chain that it jumps or goes to; empty if to none."""
        for name, data in self._expressions():
            if name == "immediate":
                verdict = wire.attributes(wire.attributes(data.get(_IMMEDIATE, b"")).get(_VERDICT, b""))
                if _VERDICT_CHAIN in verdict:
                    return wire.text(verdict[_VERDICT_CHAIN])
        return ""

    @property
    def constants(self) -> tuple[bytes, ...]:
        """What parts of a packet are compared with, in order."""
        found = (data.get(_CONSTANT, b"") for name, data in self._expressions() if name == "cmp")
        return tuple(wire.attributes(data).get(_VALUE, b"") for data in found)

    def _expressions(self) -> Iterator[tuple[str, wire.Attributes]]:
        for _, element in wire.listed(wire.attributes(self.body, _HEADER.size).get(_EXPRESSIONS, b"")):
            parts = wire.attributes(element)
            yield wire.text(parts.get(_EXPRESSION_NAME)), wire.attributes(parts.get(_EXPRESSION_DATA, b""))


class _Kept:
    """A handle that is closed when nobody has it any more: at the end of its thread."""

    def __init__(self, netlink: Netlink, namespace: tuple[int, int]) -> None:
        self.netlink = netlink
        self.namespace = namespace

    def __del__(self) -> None:
        self.netlink.close()


class _OfThread(threading.local):
    """What a thread keeps."""

    kept: _Kept | None = None


_own: Final = _OfThread()


def beside(links: Netlink) -> Netlink:
    """The calling thread's handle to the packet filter of the namespace of these links. It stays open. Raises OSError.

    Where one is closed the kernel waits until no rule that was deleted before is in use any more, 16 ms, and nobody can
    change a rule meanwhile.
    """
    namespace = links.namespace()  # cannot be another's of the same number: the handle keeps its own alive
    if _own.kept is None or _own.kept.namespace != namespace:
        _own.kept = _Kept(links.beside(_PROTOCOL), namespace)
    return _own.kept.netlink


@contextmanager
def absent_is_fine() -> Iterator[None]:
    """For who wants to take away: a kernel without nftables holds nothing of it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ABSENT:
            raise


def commit(netlink: Netlink, changes: Sequence[Request]) -> None:
    """Make these changes, all or none.

    Raises:
        FileNotFoundError: what is to be deleted, or where something is to be put, is not there (any more).
        OSError: the kernel refuses.
    """
    if not changes:
        return
    *first, last = (change._replace(flags=change.flags | REQUEST) for change in changes)
    frame = _HEADER.pack(0, 0, _SUBSYSTEM)
    # the kernel answers when it has committed: one message is enough to hear of it, whatever was refused is told anyway
    netlink.transact(
        [
            Request(_BEGIN, frame, REQUEST),
            *first,
            last._replace(flags=last.flags | ACK),
            Request(_END, frame, REQUEST),
        ]
    )


def settle(netlink: Netlink, plan: Callable[[], Sequence[Request]]) -> None:
    """Commit what is planned after a look at what stands there; anew when somebody took a part of that meanwhile."""
    for _ in range(_TRIES - 1):
        try:
            return commit(netlink, plan())
        except FileNotFoundError:
            continue
    return commit(netlink, plan())


def new_table(table: Table) -> Request:
    """A table; one that is there is fine."""
    body = attribute(_NAME, table.name)
    if table.comment:
        body += attribute(_TABLE_REMARKS, _remark(table.comment))
    return _request(table, _NEW_TABLE, body, CREATE)


def new_chain(table: Table, name: str, hook: Hook | None = None, comment: str = "") -> Request:
    """A chain, of a base chain with its hook and the policy to accept; one that is there is fine."""
    body = attribute(_TABLE, table.name) + attribute(_CHAIN_NAME, name)
    if hook:
        where = (attribute(_HOOK_NUMBER, _U32.pack(hook.number)), attribute(_HOOK_PRIORITY, _I32.pack(hook.priority)))
        body += nested(_CHAIN_HOOK, *where) + attribute(_CHAIN_TYPE, hook.kind)
    if comment:
        body += attribute(_CHAIN_REMARKS, _remark(comment))
    return _request(table, _NEW_CHAIN, body, CREATE)


def new_rule(table: Table, chain: str, expressions: Sequence[bytes], comment: str = "") -> Request:
    """A rule at the end of a chain."""
    body = _place(table, chain) + nested(_EXPRESSIONS, *(attribute(_ELEMENT | wire.NESTED, one) for one in expressions))
    if comment:
        body += attribute(_RULE_REMARKS, _remark(comment))
    return _request(table, _NEW_RULE, body, CREATE | _APPEND)


def delete_rule(table: Table, chain: str, rule: Rule) -> Request:
    """A rule away."""
    return _request(table, _DELETE_RULE, _place(table, chain) + attribute(_HANDLE, _U64.pack(rule.handle)))


def flush(table: Table, chain: str) -> Request:
    """All rules of a chain away."""
    return _request(table, _DELETE_RULE, _place(table, chain))


def delete_chain(table: Table, name: str) -> Request:
    """A chain away, and its rules."""
    return _request(table, _DELETE_CHAIN, attribute(_TABLE, table.name) + attribute(_CHAIN_NAME, name))


def has_chain(netlink: Netlink, table: Table, name: str) -> bool:
    """Whether there is such a chain."""
    request = _request(table, _GET_CHAIN, attribute(_TABLE, table.name) + attribute(_CHAIN_NAME, name))
    try:
        netlink.get(request.kind, request.body)
    except FileNotFoundError:
        return False
    return True


def rules(netlink: Netlink, table: Table, chain: str, having: str = "") -> Sequence[Rule]:
    """The rules of a chain in which this text stands anywhere; none where there is no such chain."""
    request = _request(table, _GET_RULE, _place(table, chain))
    wanted = having.encode()
    try:
        bodies = netlink.dump(request.kind, request.body)
    except FileNotFoundError:  # newer kernels look for the table first
        return []
    found = (_rule(body, table, chain) for body in bodies if wanted in body)
    return [rule for rule in found if rule is not None]


def _rule(body: bytes, table: Table, chain: str) -> Rule | None:
    """None when it stands elsewhere: an old kernel lists every rule, and a handle is one of its table."""
    parts = wire.attributes(body, _HEADER.size)
    place = body[0], wire.text(parts.get(_TABLE)), wire.text(parts.get(_CHAIN))
    if place != (table.family, table.name, chain) or _HANDLE not in parts:
        return None
    (handle,) = _U64.unpack(parts[_HANDLE])
    return Rule(handle=handle, comment=_comment(parts.get(_RULE_REMARKS, b"")), body=body)


def _request(table: Table, verb: int, body: bytes, flags: int = 0) -> Request:
    return Request(_SUBSYSTEM << 8 | verb, _HEADER.pack(table.family, 0, 0) + body, flags)


def _place(table: Table, chain: str) -> bytes:
    return attribute(_TABLE, table.name) + attribute(_CHAIN, chain)


def _remark(comment: str) -> bytes:
    text = comment.encode()[:MAX_COMMENT] + b"\0"
    return bytes((_COMMENT, len(text))) + text


def _comment(remarks: bytes) -> str:
    at = 0
    while len(remarks) - at >= 2:  # noqa: PLR2004 - kind and length
        kind, length = remarks[at], remarks[at + 1]
        if kind == _COMMENT:
            return wire.text(remarks[at + 2 : at + 2 + length])
        at += 2 + length
    return ""
