# SPDX-License-Identifier: Apache-2.0
"""A wire from a pod to the node, for a program there that expects a link of a certain name: no bridge, no addresses."""

from contextlib import ExitStack
from dataclasses import dataclass

from delegates import Body, Call, Delegate, Visible, main
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.names import interface_name
from metacni.cni.result import Interface, Result
from metacni.netns import devices
from metacni.netns.devices import Device, Veth
from metacni.netns.failures import failing
from metacni.netns.groups import GROUP
from metacni.netns.netlink import Netlink


@dataclass(frozen=True, slots=True)
class Conf:
    """The configuration: `nodeEnd` is the name of the wire's end on the node."""

    node_end: str


def parse(body: Body, _: Environment, __: str) -> Conf:
    """Read and check it all, before anything is touched; the key is named by whatever is wrong with it."""
    try:
        return Conf(interface_name(keys.text(body, "nodeEnd")))
    except CniError as error:
        raise CniError(Code.CONFIG, f"cannot use key 'nodeEnd': {error.msg}") from error


def add(call: Call[Conf]) -> Result:
    """Lay the wire; whatever fails, nothing of it stays."""
    near, far = call.conf.node_end, call.environment.ifname
    with call.edges.host() as host, call.open_pod() as pod, ExitStack() as undo, failing(f"cannot lay wire {near!r}"):
        devices.create_veth(host, Veth(host_name=near, pod_name=far, netns_fd=call.netns(), group=GROUP))
        here = _found(host, near)
        undo.callback(devices.delete, host, here.index)
        there = _found(pod.links, far)
        devices.bring_up(pod.links, there.index)
        undo.pop_all()
    call.edges.made(there.index)  # may go together with the pod's other links
    inside = Interface(name=far, mac=there.mac, sandbox=call.environment.netns)
    return Result(interfaces=(Interface(name=near, mac=here.mac), inside))


def check(call: Call[Conf]) -> None:
    """Both ends are there and belong together."""
    with call.edges.host() as host, call.open_pod() as pod, failing("cannot look at the links"):
        near, far = devices.find(host, call.conf.node_end), devices.find(pod.links, call.environment.ifname)
    if near is None or far is None or near.peer != far.index:
        raise CniError(Code.INTERNAL, f"cannot confirm wire {call.conf.node_end!r}: an end of it is gone")


def delete(call: Call[Conf]) -> None:
    """Take it away; what is gone is fine, and with the namespace it has gone."""
    if call.pod is None:
        return
    with call.open_pod() as pod, failing(f"cannot delete interface {call.environment.ifname!r}"):
        far = devices.find(pod.links, call.environment.ifname)
        if far is not None:
            devices.delete(pod.links, far.index)


def _found(links: Netlink, name: str) -> Device:
    link = devices.find(links, name)
    if link is None:
        raise CniError(Code.IO, f"cannot set up link {name!r}: it is gone again")
    return link


def declines(_: Body, __: Visible) -> None:
    """Nobody else has plugins of this type, so there is nothing to leave to them."""


DELEGATE = Delegate(
    name="wire",
    about="a wire to the node, with a name there",
    parse=parse,
    parse_loosely=lambda _: Conf(""),
    add=add,
    check=check,
    delete=delete,
    declines=declines,
)

if __name__ == "__main__":
    main(DELEGATE)
