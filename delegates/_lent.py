# SPDX-License-Identifier: Apache-2.0
"""A link of the node that is lent to a pod, and comes back as it was, whatever happens in between.

Everything about it stands on the link itself, so nothing else has to survive: its old name as its alias, as the
reference has it, so that either program can give it back; whose it is now, and how it was, as alternative names. They
are put on before the link moves, and each step after that is one message: killed anywhere, the next DEL or garbage
collection finds it, in the pod or, where the kernel has brought it home under the pod's name for it, on the node.
Must not know how a link is chosen, nor what a pod does with it.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from delegates import _undo
from delegates._call import Attachment, Call, Conf, Pod
from metacni.cni.errors import CniError, Code
from metacni.cni.names import NetworkName
from metacni.netns import devices, moves, properties
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.sandbox import cause

MAX_MARK: Final = 127  # bytes, of an alternative name
_OWNER: Final = "metacni:"
_BEFORE: Final = "metacni-was:"
_WORDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How a link was on the node."""

    name: str
    up: bool = False
    mtu: int = 0
    """0 is not known."""
    mac: str = ""
    """Empty is not known."""
    alias: str = ""

    def mark(self) -> str:
        """It as an alternative name; a long alias is left out."""
        mac = self.mac.replace(":", "")
        short = f"{_BEFORE}{self.name}:{int(self.up)}:{self.mtu}:{mac}:"
        whole = short + quote(self.alias, safe="")
        return whole if len(whole) <= MAX_MARK else short


def owner_mark(network: NetworkName, owner: Attachment) -> str:
    """Whose a link is, as an alternative name; a digest of it where that would be too long."""
    text = f"{_OWNER}{network}:{owner.container}:{owner.ifname}"
    return text if len(text) <= MAX_MARK else f"{_OWNER}{hashlib.sha256(text.encode()).hexdigest()}"


def lend(call: Call[Conf], host: Netlink, pod: Pod, link: Device, undo: ExitStack) -> Device:
    """Move a link of the node to the pod, where it is CNI_IFNAME; as it stands there, switched off.

    Args:
        call: whose it is to be.
        host: a handle to the node.
        pod: the pod, which is open as long as `undo` is.
        link: which.
        undo: gets the way back.

    Raises:
        CniError: code 7, the pod has such an interface, or the node lost the link; code 5, the kernel refuses.
    """
    ifname = call.environment.ifname
    what = f"cannot move device {link.name!r} to the pod"
    with failing(what):
        if devices.find(pod.links, ifname) is not None:
            hint = "a pod gets an interface once: DEL comes before the next ADD"
            raise CniError(Code.CONFIG, f"{what}: the pod has an interface {ifname!r}", hint)
        undo.callback(bring_back, call, host, pod)
        _mark(call, host, link)
        try:
            moves.move(host, link.index, call.netns(), ifname, alias=link.name)
        except OSError as error:
            if error.errno == errno.EINVAL:
                hint = "links of some kinds stay where they are made: bridges, tunnels of the kernel's own, lo"
                raise CniError(Code.CONFIG, f"{what}: its kind does not leave the node", hint) from error
            raise
        lent = devices.find(pod.links, ifname)
    if lent is None:
        raise CniError(Code.IO, f"{what}: it is gone again")
    return lent


def is_lent(link: Device) -> bool:
    """Whether we have lent it, which a link on the node shows when its pod died, or an ADD."""
    return any(mark.startswith((_OWNER, _BEFORE)) for mark in link.other_names)


def give_back(call: Call[Conf], host: Netlink) -> None:
    """Have the attachment's link on the node as it was before, wherever it is by now; one that is nowhere is fine.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    if call.pod is not None:
        with call.open_pod() as pod:
            _fetch(call, host, pod)
    gather(call, host)


def gather(call: Call[Conf], host: Netlink) -> None:
    """Restore a link on the node that is marked as this attachment's: its pod is gone, or it never got there.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    stray = _find(host, _mark_of(call))
    if stray is not None:
        restore(host, stray)


def restore(host: Netlink, link: Device) -> None:
    """Make a lent link that is back on the node what it was; under any name, when somebody has taken its own.

    A driver that does not take a setting back is told in the log only: a DEL that fails for ever would not help it.

    Raises:
        CniError: code 5, it has not got its name, or still its marks.
    """
    was = _before(link)
    what = f"cannot restore device {was.name!r}"
    changes = was.name != link.name or (bool(was.mac) and was.mac != link.mac)
    if changes and link.up:
        _try(f"{what}: cannot switch it off", lambda: moves.take_down(host, link.index))
    if was.mac and was.mac != link.mac:
        _try(f"{what}: cannot set its MAC", lambda: devices.set_mac(host, link.index, was.mac))
    if was.mtu and was.mtu != link.mtu:
        _try(f"{what}: cannot set its MTU", lambda: properties.set_mtu(host, link.index, was.mtu))
    with failing(f"{what}: cannot set its name and remark"):
        _rename(host, link, was)
    if was.up and (changes or not link.up):
        _try(f"{what}: cannot switch it on", lambda: devices.bring_up(host, link.index))
    with failing(f"{what}: cannot take its marks off"):
        _unmark(host, link)


def restore_others(host: Netlink, network: NetworkName, valid: Collection[Attachment]) -> None:
    """Restore the links of a network that are back on the node and whose attachment is not valid any more.

    Raises:
        CniError: code 5, after all have been tried.
    """
    with failing("cannot list the links of the node"):
        links = devices.every(host)
    kept = {owner_mark(network, owner) for owner in valid}
    with _undo.Failures() as failures:
        for link in links:
            marks = {mark for mark in link.other_names if mark.startswith(f"{_OWNER}{network}:")}
            if marks and not marks & kept:
                with failures.collected():
                    restore(host, link)


def _mark_of(call: Call[Conf]) -> str:
    environment = call.environment
    return owner_mark(call.network, Attachment(container=environment.container_id, ifname=environment.ifname))


def _before(link: Device) -> Before:
    """How a lent link was; of one that the reference lent only the name is known, by the alias."""
    for mark in link.other_names:
        words = mark.removeprefix(_BEFORE).split(":")
        if mark.startswith(_BEFORE) and len(words) == _WORDS and words[2].isdecimal():
            name, up, mtu, mac, alias = words
            mac = ":".join(mac[at : at + 2] for at in range(0, len(mac), 2))
            return Before(name=name, up=up == "1", mtu=int(mtu), mac=mac, alias=unquote(alias))
    if is_lent(link) or not link.alias:  # killed between the two marks: it has not moved yet
        return Before(name=link.name, up=link.up, alias=link.alias)
    return Before(name=link.alias)


def _mark(call: Call[Conf], host: Netlink, link: Device) -> None:
    """Whose it is, and how it was. A kernel before 5.5 has no alternative names: the alias has to do."""
    was = Before(name=link.name, up=link.up, mtu=link.mtu, mac=link.mac, alias=link.alias)
    try:
        for mark in (_mark_of(call), was.mark()):
            moves.add_name(host, link.index, mark)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


def _unmark(host: Netlink, link: Device) -> None:
    """Whose it is goes last: by that it is found again."""
    for kind in (_BEFORE, _OWNER):
        for mark in (mark for mark in link.other_names if mark.startswith(kind)):
            try:
                moves.remove_name(host, link.index, mark)
            except FileNotFoundError:
                continue


def _rename(host: Netlink, link: Device, was: Before) -> None:
    """Its old name; or the one it has, and the old one as its alias, for people and for the next ADD to find it by."""
    if was.name != link.name:
        try:
            moves.rename(host, link.index, was.name)
        except FileExistsError:
            _undo.log.warning("device %r is back as %r: another link has its name", was.name, link.name)
            devices.set_alias(host, link.index, was.name)
            return
    if was.alias != link.alias:
        devices.set_alias(host, link.index, was.alias)


def bring_back(call: Call[Conf], host: Netlink, pod: Pod) -> None:
    try:
        _fetch(call, host, pod)
        gather(call, host)
    except CniError as error:
        _undo.log.warning("%s after a failure", error)


def _fetch(call: Call[Conf], host: Netlink, pod: Pod) -> None:
    """Move the attachment's link out of the pod, and make it what it was.

    A link without a mark is the reference's, if it has an alias; if not, it is the pod's own, and stays.
    """
    what = f"cannot move interface {call.environment.ifname!r} out of the pod"
    with failing(what):
        lent = devices.find(pod.links, _mark_of(call)) or devices.find(pod.links, call.environment.ifname)
        if lent is None or not (lent.alias or _mark_of(call) in lent.other_names):
            return
        with _namespace(host) as home:
            _move_home(pod.links, lent, home)
        found = _arrived(host, lent)
    if found is not None:
        restore(host, found)


def _move_home(pod: Netlink, lent: Device, home: int) -> None:
    try:
        moves.move(pod, lent.index, home, _before(lent).name)
    except FileExistsError:  # somebody has the name; and if it is still here, the one that it has in the pod, too
        still = devices.at(pod, lent.index)
        if still is not None and still.mac == lent.mac:
            moves.move(pod, lent.index, home, moves.ANY_NAME)


def _arrived(host: Netlink, lent: Device) -> Device | None:
    """It, on the node: by a mark; without any, as from the reference, by what stays the same."""
    for mark in lent.other_names:
        if mark.startswith((_OWNER, _BEFORE)):
            return devices.find(host, mark)
    same = [link for link in devices.every(host) if (link.alias, link.mac, link.up) == (lent.alias, lent.mac, False)]
    return next((link for link in same if link.name == lent.alias), same[0] if same else None)


def _try(what: str, act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        _undo.log.warning("%s: %s", what, cause(error))


def _find(netlink: Netlink, mark: str) -> Device | None:
    with failing(f"cannot look for the link {mark!r}"):
        return devices.find(netlink, mark)


@contextmanager
def _namespace(host: Netlink) -> Iterator[int]:
    fd = host.open_namespace()
    try:
        yield fd
    finally:
        os.close(fd)
