# SPDX-License-Identifier: Apache-2.0
"""A veth cable between the node and a pod: made in one step, found again by what stands on it.

The near end carries whose it is, so that garbage collection needs no memory, and `ip link` tells people. Must not know
what the near end is plugged into.
"""

import secrets
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from delegates import _macs, _undo
from delegates._call import Attachment, Call, Conf, Pod
from metacni.cni.errors import CniError, Code
from metacni.cni.names import ContainerId, IfName, NetworkName
from metacni.netns import devices, sysctl
from metacni.netns.devices import MAX_ALIAS, Device, Veth
from metacni.netns.failures import failing
from metacni.netns.groups import GROUP
from metacni.netns.netlink import Netlink

_TRIES: Final = 10
_MARK: Final = "metacni"
_WORDS: Final = 4


def lay(call: Call[Conf], host: Netlink, undo: ExitStack, *, master: int, mtu: int, mac: str) -> Device:
    """Make a cable from the node to the pod's CNI_IFNAME; the near end.

    Args:
        call: whose.
        host: a handle to the node.
        undo: gets the way back.
        master: what the near end is plugged into.
        mtu: of both ends; 0 is the kernel's choice.
        mac: of the pod's end; empty is the kernel's choice.

    Raises:
        CniError: code 7, the pod has such an interface already; code 5, the kernel refuses.
    """
    environment = call.environment
    plan = Veth(
        host_name="", pod_name=environment.ifname, netns_fd=call.netns(), group=GROUP, master=master, mtu=mtu, mac=mac
    )
    what = f"cannot create interface {environment.ifname!r}"
    with failing(what):
        name = _create(host, plan)
    undo.callback(_undo.link, host, name)
    with failing(f"{what}: cannot set up its end {name!r} on the node"):
        near = devices.find(host, name)
        if near is None:
            raise CniError(Code.IO, f"{what}: its end {name!r} on the node is gone")
        call.edges.made(near.peer)
        ignore_advertisements(call.edges.sysctls, name)
        alias = remark(call.network, Attachment(container=environment.container_id, ifname=environment.ifname))
        if alias:
            devices.set_alias(host, near.index, alias)
    return near


def far_end(pod: Pod, ifname: IfName, near: Device) -> Device:
    """The end in the pod of the cable that was just laid.

    Raises:
        CniError: code 5, somebody took it away meanwhile.
    """
    with failing(f"cannot look at interface {ifname!r}"):
        far = devices.find(pod.links, ifname)
    if far is None or far.peer != near.index:
        raise CniError(Code.IO, f"cannot set up interface {ifname!r}: it is gone, or another took its name")
    return far


def pull(call: Call[Conf]) -> None:
    """Take the pod's end away, and with it the near one; what is gone is fine, a pod too (E15).

    Of a pod that is gone the kernel takes the links in its own time. Until then they would answer for addresses that
    somebody else may have by now, so the near end goes at once.

    Raises:
        CniError: code 5, the kernel refuses.
    """
    if call.pod is None:
        _pull_near(call)
        return
    ifname = call.environment.ifname
    with call.open_pod() as pod, failing(f"cannot delete interface {ifname!r}"):
        far = devices.find(pod.links, ifname)
        if far is not None:
            devices.delete(pod.links, far.index)


def _pull_near(call: Call[Conf]) -> None:
    alias = remark(call.network, Attachment(container=call.environment.container_id, ifname=call.environment.ifname))
    with call.edges.host() as host, failing("cannot delete the node's end of a cable whose pod is gone"):
        for link in devices.every(host):
            if alias and link.kind == "veth" and link.alias == alias:
                devices.delete(host, link.index)


def require_room(call: Call[Conf]) -> None:
    """See that the pod has no such interface yet, before an IPAM is asked.

    It may give the very addresses that the interface has, and an undo would take them from it.

    Raises:
        CniError: code 7, the pod has such an interface.
    """
    ifname = call.environment.ifname
    with call.open_pod() as pod, failing(f"cannot look at interface {ifname!r}"):
        if devices.find(pod.links, ifname) is not None:
            raise _taken(ifname)


def ignore_advertisements(settings: Path, name: str) -> None:
    """The node learns no routes from a link of pods (E12, E26). Raises OSError; a node without IPv6 is fine."""
    try:
        sysctl.write_node(settings, f"ipv6/conf/{name}/accept_ra", "0")
    except FileNotFoundError:
        return


def be_usable_at_once(settings: Path, name: str) -> None:
    """Have the near end's own IPv6 address not wait for duplicates: until then the node resolves no pod for others.

    Nothing has happened yet: without a far end that is up there is no carrier. A node without IPv6 is fine.

    Raises:
        CniError: code 5, the setting cannot be written.
    """
    with failing(f"cannot set up link {name!r} on the node", fine=FileNotFoundError):
        sysctl.write_node(settings, f"ipv6/conf/{name}/accept_dad", "0")


def remark(network: NetworkName, owner: Attachment) -> str:
    """What stands on the near end; empty when it is too long for the kernel."""
    text = f"{_MARK} {network} {owner.container} {owner.ifname}"
    return text if len(text.encode()) <= MAX_ALIAS else ""


def remove_others(host: Netlink, network: NetworkName, valid: Collection[Attachment]) -> None:
    """Delete the cables of a network whose attachment is not valid any more.

    Raises:
        CniError: code 5, after all have been tried.
    """
    with failing("cannot list the links of the node"):
        links = devices.every(host)
    with _undo.Failures() as failures:
        for link in links:
            owner = _owner(link.alias, network)
            if link.kind == "veth" and owner is not None and owner not in valid:
                with failures.collected(), failing(f"cannot delete link {link.name!r}"):
                    devices.delete(host, link.index)


def _create(host: Netlink, plan: Veth) -> str:
    for _ in range(_TRIES):
        name = f"veth{secrets.token_hex(4)}"
        try:
            devices.create_veth(host, replace(plan, host_name=name, host_mac=_macs.random()))
        except FileExistsError as error:
            if devices.find(host, name) is None:
                raise _taken(plan.pod_name) from error
        else:
            return name
    raise CniError(Code.TRY_AGAIN, f"cannot create interface {plan.pod_name!r}: no free name for its end on the node")


def _taken(ifname: str) -> CniError:
    hint = "a pod gets an interface once: DEL comes before the next ADD"
    return CniError(Code.CONFIG, f"cannot create interface {ifname!r}: the pod has one of that name", hint)


def _owner(alias: str, network: NetworkName) -> Attachment | None:
    words = alias.split(" ")
    if len(words) != _WORDS or words[:2] != [_MARK, network]:
        return None
    return Attachment(container=ContainerId(words[2]), ifname=IfName(words[3]))
