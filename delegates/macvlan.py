# SPDX-License-Identifier: Apache-2.0
"""Pods with MACs of their own on a link of the node, beside it in its network.

The pod and its own node do not hear each other that way, as the kernel has it.
"""

from dataclasses import replace
from typing import Final

from delegates import _arguments, _program, _sublink, _text
from delegates._call import Body, Visible
from delegates._skeleton import Delegate
from delegates._sublink import Conf
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import describe
from metacni.netns.kinds import MACVLAN_MODES, Macvlan

_KEYS: Final = _sublink.KEYS | _sublink.MASTERS | {"mode", "mac", "bcqueuelen"}  # E38
_CAPABILITIES: Final = frozenset({"mac", "ips", "ipranges"})
_MAX_QUEUE: Final = 2**32 - 1


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be; code 4, bad CNI_ARGS.
    """
    mode = keys.text(body, "mode") or "bridge"
    if mode not in MACVLAN_MODES:
        hint = f"the modes are {', '.join(MACVLAN_MODES)}"
        raise CniError(Code.CONFIG, f"cannot use key 'mode': {describe(mode)} is no mode of macvlan", hint)
    queue = keys.integer(body, "bcqueuelen") or 0
    if not 0 <= queue <= _MAX_QUEUE:
        raise CniError(Code.CONFIG, f"cannot use key 'bcqueuelen': {queue} is not in 0-{_MAX_QUEUE}")
    conf = _sublink.parse_on_master(body, environment, version, Macvlan(mode=mode, queue=queue))
    return replace(conf, mac=_mac(body, environment))


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    return _sublink.declines(body, visible, _KEYS, _CAPABILITIES)


def _mac(body: Body, environment: Environment) -> str:
    """The strongest request for a MAC; `args.cni` is none (E18)."""
    _arguments.require_known(environment, _arguments.KNOWN)
    runtime = keys.mapping(body, "runtimeConfig") or {}
    found = ""
    for where, text, code in (
        ("key 'mac'", keys.text(body, "mac"), Code.CONFIG),
        ("MAC of CNI_ARGS", _arguments.environment_value(environment, "MAC"), Code.ENVIRONMENT),
        ("runtimeConfig.mac", keys.text(runtime, "mac"), Code.CONFIG),
    ):
        found = _text.mac(where, text, code) if text else found
    return found


DELEGATE: Final = Delegate(
    name="macvlan",
    about="pods with MACs of their own on a link of the node",
    parse=parse,
    parse_loosely=_sublink.parse_loosely,
    add=_sublink.add,
    check=_sublink.check,
    delete=_sublink.delete,
    status=_sublink.status,
    gc=_sublink.gc,
    declines=declines,
)

if __name__ == "__main__":
    _program.main(DELEGATE)
