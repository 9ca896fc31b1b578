# SPDX-License-Identifier: Apache-2.0
"""Hiding a pod's addresses behind the node's: the rules that the reference plugins' own nftables backend makes.

Table, chains and remarks are theirs, so that they take away what we made, and we what they made; that of their iptables
backend, too, as far as `_iptables` sees it. Must not know what a pod hangs on.
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import ip_network
from typing import Final

from delegates import _iptables, _undo
from delegates._call import Attachment, Body, Call, Conf
from delegates._text import Prefixed
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.cni.names import NetworkName
from metacni.netns import expressions, nftables
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink, Request
from metacni.netns.nftables import Hook, Table

KEYS: Final = frozenset({"ipmasq", "ipmasqbackend"})
"""What `parse` and `declines` read, in lower case."""

_TABLE: Final = Table(
    nftables.INET, "cni_plugins_masquerade", "Masquerading for plugins from github.com/containernetworking/plugins"
)
_CHAIN: Final = "masq_checks"
_ABOUT: Final = "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet"
_ENTRY: Final = "postrouting"
_HOOK: Final = Hook(kind="nat", number=nftables.POSTROUTING, priority=100)
_MULTICAST: Final = (ip_network("224.0.0.0/4"), ip_network("ff00::/8"))
_ENTERED: Final = [("", (b"\2", b"\xe0\0\0\0")), ("", (b"\x0a", b"\xff")), (_CHAIN, ())]
"""Targets and constants of the rules at the entry: multicast leaves, the rest goes on."""

_BACKENDS: Final = ("iptables", "nftables")
_DIGITS: Final = 16
_HINT: Final = "does the kernel have nf_tables with masquerading?"


def parse(body: Body) -> bool:
    """Whether the pod's addresses are to be hidden.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, a backend that nobody has.
    """
    wanted, backend = keys.flag(body, "ipMasq"), keys.text(body, "ipMasqBackend", "nftables")
    if wanted and backend not in _BACKENDS:
        raise CniError(Code.CONFIG, f"cannot use key 'ipMasqBackend': {describe(backend)} is not one of {_BACKENDS}")
    return wanted


def declines(body: Body) -> str | None:
    """Why hiding them is better left to another program; without a backend named, ours is the one to choose."""
    if keys.flag(body, "ipMasq") and keys.text(body, "ipMasqBackend") == "iptables":
        return "key 'ipMasqBackend' (\"iptables\") is not carried out"
    return None


def add(call: Call[Conf], host: Netlink, addresses: Sequence[Prefixed], undo: ExitStack) -> None:
    """Hide these addresses from all but their own subnets; `undo` gets the way back.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    owner = _owner(call)
    remark = _remark(call.network, owner)
    with failing("cannot masquerade the pod's addresses", hint=_HINT):
        filters = nftables.beside(host)
        nftables.settle(filters, lambda: _addition(filters, _mark(call.network, owner), remark, addresses))
    undo.callback(_take_back, call, host)


def remove(call: Call[Conf], host: Netlink) -> None:
    """Take the rules of the attachment away, whatever its addresses were and whoever made them.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    mark = _mark(call.network, _owner(call))
    with failing("cannot remove the masquerading rules"), nftables.absent_is_fine():
        filters = nftables.beside(host)
        nftables.settle(
            filters,
            lambda: [
                *_removal(filters, mark),
                *_iptables.removal(filters, call.network, call.environment.container_id),
            ],
        )


def remove_others(call: Call[Conf], host: Netlink) -> None:
    """Take away the network's rules of attachments that are not valid any more.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    kept = frozenset(_remark(call.network, owner) for owner in call.valid)
    containers = {owner.container for owner in call.valid}
    with failing("cannot remove masquerading rules that are left over"), nftables.absent_is_fine():
        filters = nftables.beside(host)
        nftables.settle(
            filters,
            lambda: [
                *_removal(filters, _network_mark(call.network), kept),
                *_iptables.removal_of_others(filters, call.network, containers),
            ],
        )


def check(call: Call[Conf], host: Netlink, addresses: Sequence[Prefixed]) -> None:
    """See whether each address is hidden, by whichever backend.

    Raises:
        CniError: code 999, naming one that is not; code 5, the kernel refuses.
    """
    with failing("cannot list the masquerading rules"):
        filters = nftables.beside(host)
        mark = _mark(call.network, _owner(call))
        rules = nftables.rules(filters, _TABLE, _CHAIN, mark) if _is_entered(filters) else []
        hidden = {constant for rule in rules for constant in rule.constants}
        bare = [address for address in addresses if address.ip.packed not in hidden]
        if bare and not _iptables.masquerades(filters, call.network, call.environment.container_id):
            raise CniError(Code.INTERNAL, f"cannot confirm address '{bare[0]}': it is not masqueraded")


def _addition(filters: Netlink, mark: str, remark: str, addresses: Sequence[Prefixed]) -> Sequence[Request]:
    return [
        nftables.new_table(_TABLE),
        nftables.new_chain(_TABLE, _CHAIN, comment=_ABOUT),
        nftables.new_chain(_TABLE, _ENTRY, _HOOK),
        *([] if _is_entered(filters) else _entry()),
        *_removal(filters, mark),  # of a container that came before under the same name
        *(nftables.new_rule(_TABLE, _CHAIN, _hiding(address), remark) for address in addresses),
    ]


def _entry() -> Sequence[Request]:
    multicast = [[*expressions.to_network(network), *expressions.leave()] for network in _MULTICAST]
    rules = [*multicast, expressions.goto(_CHAIN)]
    return [nftables.flush(_TABLE, _ENTRY), *(nftables.new_rule(_TABLE, _ENTRY, rule) for rule in rules)]


def _is_entered(filters: Netlink) -> bool:
    return [(rule.target, rule.constants) for rule in nftables.rules(filters, _TABLE, _ENTRY)] == _ENTERED


def _hiding(address: Prefixed) -> expressions.Phrase:
    outside = expressions.outside_of(address.network)
    return [*expressions.from_address(address), *outside, *expressions.masquerade()]


def _removal(filters: Netlink, mark: str, kept: frozenset[str] = frozenset()) -> Sequence[Request]:
    return [
        nftables.delete_rule(_TABLE, _CHAIN, rule)
        for rule in nftables.rules(filters, _TABLE, _CHAIN, mark)
        if rule.comment.startswith(mark) and rule.comment not in kept
    ]


def _take_back(call: Call[Conf], host: Netlink) -> None:
    try:
        remove(call, host)
    except CniError as error:
        _undo.log.warning("%s after a failure", error)


def _owner(call: Call[Conf]) -> Attachment:
    return Attachment(container=call.environment.container_id, ifname=call.environment.ifname)


def _network_mark(network: NetworkName) -> str:
    return _digest(network)


def _mark(network: NetworkName, owner: Attachment) -> str:
    """How the remark on each rule of an attachment begins."""
    return f"{_network_mark(network)}-{_digest(f'{owner.ifname}:{owner.container}')}"


def _remark(network: NetworkName, owner: Attachment) -> str:
    text = f"{_mark(network, owner)}, net: {network}, if: {owner.ifname}, id: {owner.container}"
    return text[: nftables.MAX_COMMENT]


def _digest(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()[:_DIGITS]
