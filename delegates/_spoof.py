# SPDX-License-Identifier: Apache-2.0
"""Frames from a pod whose source MAC is not the pod's are dropped where they enter the bridge (E34).

Table, chains and remarks are the reference plugin's, so that either takes away what the other made.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from delegates import _undo
from delegates._call import Call, Conf
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.netns import devices, expressions, nftables
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink, Request
from metacni.netns.nftables import Hook, Rule, Table

_TABLE: Final = Table(nftables.BRIDGE, "nat")
_ENTRY: Final = "PREROUTING"
_HOOK: Final = Hook(kind="filter", number=nftables.PREROUTING, priority=-300)
_PREFIX: Final = "cni-br-iface-"
_SUFFIX: Final = "-mac"
_REMARK: Final = "macspoofchk-"
_MAX_NAME: Final = 127  # bytes, of a chain; `nft` takes no longer one
_HINT: Final = "does the kernel have nf_tables for bridges?"


def require_short(environment: Environment) -> None:
    """Refuse an attachment that no chain can be named after.

    Raises:
        CniError: code 7.
    """
    if len(_chains(environment)[1].encode()) > _MAX_NAME:
        raise CniError(Code.CONFIG, "cannot use key 'macspoofchk': CNI_CONTAINERID is too long for the name of a chain")


def add(call: Call[Conf], host: Netlink, near: Device, mac: str, undo: ExitStack) -> None:
    """Let nothing but this MAC in from the pod; `undo` gets the way back.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    with failing("cannot set up the spoof check", hint=_HINT):
        filters = nftables.beside(host)
        nftables.settle(filters, lambda: _addition(filters, call.environment, near.name, mac))
    undo.callback(_take_back, call, host)


def remove(call: Call[Conf], host: Netlink) -> None:
    """Take the rules of the attachment away, whoever made them.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    jumping, checking = _chains(call.environment)
    with failing("cannot remove the spoof check"), nftables.absent_is_fine():
        filters = nftables.beside(host)
        nftables.settle(filters, lambda: _removal(filters, _entries(filters, jumping), [jumping, checking]))


def remove_stale(host: Netlink) -> None:
    """Take away the rules for links that are gone: whose they were cannot be told from them.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    with failing("cannot remove spoof checks that are left over"), nftables.absent_is_fine():
        filters = nftables.beside(host)
        nftables.settle(filters, lambda: _stale(host, filters))


def check(call: Call[Conf], host: Netlink, near: Device, mac: str) -> None:
    """See whether the check is in force for this link and this MAC.

    Raises:
        CniError: code 999, it is not; code 5, the kernel refuses.
    """
    jumping, checking = _chains(call.environment)
    with failing("cannot list the rules of the spoof check"):
        filters = nftables.beside(host)
        entered = any(_link(entry) == near.name for entry in _entries(filters, jumping))
        joined = any(rule.target == checking for rule in nftables.rules(filters, _TABLE, jumping))
        passing = [rule.constants for rule in nftables.rules(filters, _TABLE, checking)]
    if not (entered and joined and passing == [(bytes.fromhex(mac.replace(":", "")),), ()]):
        raise CniError(Code.INTERNAL, f"cannot confirm interface {call.environment.ifname!r}: its MAC is not checked")


def _addition(filters: Netlink, environment: Environment, near: str, mac: str) -> Sequence[Request]:
    """A chain of its own for each of the two steps: the form that libvirt began with."""
    jumping, checking = _chains(environment)
    remark = f"{_REMARK}{environment.container_id}-{environment.ifname}"
    entry = [*expressions.from_link(near), *expressions.jump(jumping)]
    passing = [*expressions.from_mac(mac), *expressions.leave()]
    return [
        nftables.new_table(_TABLE),
        nftables.new_chain(_TABLE, _ENTRY, _HOOK),
        nftables.new_chain(_TABLE, jumping),
        nftables.new_chain(_TABLE, checking),
        *(nftables.delete_rule(_TABLE, _ENTRY, stale) for stale in _entries(filters, jumping)),
        nftables.flush(_TABLE, jumping),
        nftables.flush(_TABLE, checking),
        nftables.new_rule(_TABLE, _ENTRY, entry, remark),
        nftables.new_rule(_TABLE, jumping, expressions.jump(checking), remark),
        nftables.new_rule(_TABLE, checking, passing, remark),
        nftables.new_rule(_TABLE, checking, expressions.drop(), remark),
    ]


def _removal(filters: Netlink, entries: Sequence[Rule], chains: Sequence[str]) -> Sequence[Request]:
    """A chain goes after what jumps to it."""
    standing = [chain for chain in chains if nftables.has_chain(filters, _TABLE, chain)]
    return [
        *(nftables.delete_rule(_TABLE, _ENTRY, entry) for entry in entries),
        *(nftables.delete_chain(_TABLE, chain) for chain in standing),
    ]


def _stale(host: Netlink, filters: Netlink) -> Sequence[Request]:
    """The links are listed last: one that comes meanwhile is not taken for one that is gone."""
    entries = nftables.rules(filters, _TABLE, _ENTRY, _REMARK)
    ours = [entry for entry in entries if entry.target.startswith(_PREFIX)]
    present = {link.name for link in devices.every(host)} if ours else set()
    gone = [entry for entry in ours if _link(entry) not in present]
    chains = [chain for entry in gone for chain in (entry.target, entry.target + _SUFFIX)]
    return _removal(filters, gone, list(dict.fromkeys(chains)))


def _entries(filters: Netlink, jumping: str) -> Sequence[Rule]:
    return [rule for rule in nftables.rules(filters, _TABLE, _ENTRY, jumping) if rule.target == jumping]


def _link(entry: Rule) -> str:
    return entry.constants[0].rstrip(b"\0").decode(errors="replace") if entry.constants else ""


def _chains(environment: Environment) -> tuple[str, str]:
    jumping = f"{_PREFIX}{environment.container_id}-{environment.ifname}"
    return jumping, jumping + _SUFFIX


def _take_back(call: Call[Conf], host: Netlink) -> None:
    try:
        remove(call, host)
    except CniError as error:
        _undo.log.warning("%s after a failure", error)
