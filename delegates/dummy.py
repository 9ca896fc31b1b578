# SPDX-License-Identifier: Apache-2.0
"""A link that leads nowhere, for addresses that a pod answers for wherever they are asked."""

from typing import Final

from delegates import _program, _sublink
from delegates._call import Body, Visible
from delegates._skeleton import Delegate
from delegates._sublink import Conf
from metacni.cni.environment import Environment
from metacni.netns.kinds import Dummy

_CAPABILITIES: Final = frozenset({"ips", "ipranges"})


def parse(body: Body, environment: Environment, version: str) -> Conf:
    """Read and check the whole configuration: an IPAM, without which there is no use for it (E54).

    Raises:
        CniError: code 6, a wrong JSON type; code 7, values that cannot be.
    """
    conf = _sublink.parse(body, environment, version, Dummy())
    _sublink.require_ipam(conf)
    return conf


def declines(body: Body, visible: Visible) -> str | None:
    """Name what stands in the way of doing exactly what the reference would do."""
    return _sublink.declines(body, visible, _sublink.KEYS, _CAPABILITIES)


DELEGATE: Final = Delegate(
    name="dummy",
    about="a link of the pod that leads nowhere",
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
