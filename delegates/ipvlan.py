# SPDX-License-Identifier: Apache-2.0
"""Pods with IP addresses of their own behind the MAC of a link of the node: for networks that allow one MAC a port.

Chained behind another plugin it may stand on that one's interface and carry its addresses. The pod and its own node do
not hear each other, as the kernel has it.
"""

from dataclasses import replace
from typing import Final

from delegates import _program, _sublink
from delegates._call import Body, Call, Visible
from delegates._skeleton import Delegate
from delegates._sublink import Conf
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.cni.result import Result
from metacni.netns.kinds import IPVLAN_MODES, Ipvlan

_KEYS: Final = _sublink.KEYS | _sublink.MASTERS | {"mode"}  # E43
_CAPABILITIES: Final = frozenset({"ips", "ipranges"})


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    mode = keys.text(body, "mode") or "l2"
    if mode not in IPVLAN_MODES:
        hint = f"the modes are {', '.join(IPVLAN_MODES)}"
        raise CniError(Code.CONFIG, f"cannot use key 'mode': {describe(mode)} is no mode of ipvlan", hint)
    conf = _sublink.parse_on_master(body, environment, version, Ipvlan(mode=mode))
    return replace(conf, is_bounded=False)  # the kernel takes any MTU (E45)


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    return _sublink.declines(body, visible, _KEYS, _CAPABILITIES)


def add(call: Call[Conf]) -> Result:
    """Attach the pod, with the master and the addresses of the chain where the configuration names none (E44)."""
    conf, previous = call.conf, call.prev_result
    if previous is not None and not conf.master:
        conf = replace(conf, master=_only_interface(previous))
    if conf.ipam is not None:
        return _sublink.add(call.with_conf(conf))
    if previous is None or not previous.ips:
        _sublink.require_ipam(conf)
    return _sublink.add(call.with_conf(conf), previous)


def _only_interface(previous: Result) -> str:
    if len(previous.interfaces) != 1 or not previous.interfaces[0].name:
        hint = "key 'master' names the link to use"
        raise CniError(Code.CONFIG, "cannot choose a master: prevResult does not have one interface", hint)
    return previous.interfaces[0].name


DELEGATE: Final = Delegate(
    name="ipvlan",
    about="pods with IP addresses of their own on a link of the node",
    parse=parse,
    parse_loosely=_sublink.parse_loosely,
    add=add,
    check=_sublink.check,
    delete=_sublink.delete,
    status=_sublink.status,
    gc=_sublink.gc,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
