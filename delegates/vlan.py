# SPDX-License-Identifier: Apache-2.0
"""A VLAN of one of the node's links, handed to one pod: the kernel has each VLAN of a link once."""

from dataclasses import replace
from typing import Final

from delegates import _program, _sublink
from delegates._call import Body, Visible
from delegates._skeleton import Delegate
from delegates._sublink import Conf
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.netns.kinds import Vlan

_KEYS: Final = _sublink.KEYS | _sublink.MASTERS | {"vlanid"}  # E47
_CAPABILITIES: Final = frozenset({"ips", "ipranges"})
_IDENTIFIERS: Final = range(4095)


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration.

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    identifier = keys.integer(body, "vlanId") or 0
    if identifier not in _IDENTIFIERS:
        raise CniError(Code.CONFIG, f"cannot use key 'vlanId': {identifier} is not in 0-{_IDENTIFIERS[-1]}")
    conf = _sublink.parse_on_master(body, environment, version, Vlan(identifier=identifier))
    if not conf.master:
        raise CniError(Code.CONFIG, "cannot use key 'master': it is missing, and names the link that has the VLAN")
    _sublink.require_ipam(conf)
    return replace(conf, is_mtu_kept=True)


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    return _sublink.declines(body, visible, _KEYS, _CAPABILITIES)


DELEGATE: Final = Delegate(
    name="vlan",
    about="a VLAN of one of the node's links for a pod",
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
