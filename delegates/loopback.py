# SPDX-License-Identifier: Apache-2.0
"""The pod's `lo`, switched on: whatever name the call says, there is no other.

Must not touch an address: those of `lo` are the kernel's.
"""

from contextlib import ExitStack
from typing import Final

from delegates import _arguments, _program, _skeleton, _undo
from delegates._call import Body, Call, Pod, Visible
from delegates._skeleton import Delegate
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Address, Interface, Result
from metacni.netns import addresses, devices, moves
from metacni.netns.devices import Device
from metacni.netns.failures import failing
from metacni.netns.netlink import Netlink
from metacni.netns.sandbox import cause

_NAME: Final = "lo"
_NONE: Final[frozenset[str]] = frozenset()


def parse(_: Body, __: Environment, ___: str) -> None:
    """There is nothing to read."""


def parse_loosely(_: Body) -> None:
    """Likewise."""


def declines(body: Body, _: Visible) -> str | None:
    """Any key is one that the reference does not have, either."""
    return _skeleton.undeclared(body, _NONE) or _arguments.undeclared(body, _NONE)


def add(call: Call[None]) -> Result:
    """Switch it on; the result is that of the chain, else what is there now (E53)."""
    with call.open_pod() as pod, ExitStack() as undo:
        link = _link(pod)
        if not link.up:
            with failing(f"cannot bring up interface {_NAME!r}"):
                devices.bring_up(pod.links, link.index)
            undo.callback(_switch_off, pod.links, link)
        found = [first for family in (4, 6) for first in _addresses(pod, link, family)[:1]]
        undo.pop_all()
    if call.prev_result is not None:
        return call.prev_result
    interface = Interface(name=_NAME, mac=link.mac, sandbox=call.environment.netns)
    return Result(interfaces=(interface,), ips=tuple(found))


def check(call: Call[None]) -> None:
    """Whether it is on."""
    with call.open_pod() as pod:
        if not _link(pod).up:
            raise CniError(Code.INTERNAL, f"cannot confirm interface {_NAME!r}: it is down")


def delete(call: Call[None]) -> None:
    """Switch it off, if there is a pod."""
    if call.pod is not None:
        with call.open_pod() as pod, failing(f"cannot take down interface {_NAME!r}"):
            moves.take_down(pod.links, _link(pod).index)


def _link(pod: Pod) -> Device:
    with failing(f"cannot look at interface {_NAME!r}"):
        link = devices.find(pod.links, _NAME)
    if link is None:
        raise CniError(Code.IO, f"cannot look at interface {_NAME!r}: the pod has none")
    return link


def _addresses(pod: Pod, link: Device, family: int) -> list[Address]:
    """Those of a family, none of them for others to use."""
    with failing(f"cannot list the addresses of interface {_NAME!r}"):
        found = addresses.of(pod.links, link.index, family)
    for address in found:
        if not address.ip.is_loopback:
            raise CniError(
                Code.CONFIG, f"cannot use interface {_NAME!r}: its address '{address}' is no loopback address"
            )
    return [Address(address=address, interface=0) for address in found]


def _switch_off(pod: Netlink, link: Device) -> None:
    try:
        moves.take_down(pod, link.index)
    except OSError as error:
        _undo.log.warning("cannot take down interface %r after a failure: %s", link.name, cause(error))


DELEGATE: Final = Delegate(
    name="loopback",
    about="the pod's lo, switched on",
    parse=parse,
    parse_loosely=parse_loosely,
    add=add,
    check=check,
    delete=delete,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
