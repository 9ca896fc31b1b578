# SPDX-License-Identifier: Apache-2.0
"""The name of each interface in the pod, known and free of clashes before anything runs.

Numbers follow the position in the whole list, so an edited annotation gives other names: a DEL takes them from the
journal, never from here (C47).
"""

from collections.abc import Sequence
from typing import Final

from metacni.cni.errors import CniError, Code
from metacni.cni.names import IfName

TAKEN: Final = frozenset({"lo", "all", "default"})  # the loopback, and what the kernel's sysctl folders are called


def interface_names(networks: Sequence[str], requested: Sequence[IfName | None], first: IfName) -> tuple[IfName, ...]:
    """One name for each network, the default network's first (C44); `networks` are what the errors call them.

    A name asked for uses up its number all the same: `a@foo,b` gives `foo` and `net2`.
    """
    chosen = tuple(name or _numbered(index, first) for index, name in enumerate(requested))
    owners: dict[IfName, str] = {}
    for network, name in zip(networks, chosen, strict=True):
        if name in TAKEN:
            raise _clash(name, network, "every pod has it already")
        if name in owners:  # C46: Multus finds out when the first is attached
            raise _clash(name, network, f"network {owners[name]!r} has it already")
        owners[name] = network
    return chosen


def _numbered(index: int, first: IfName) -> IfName:
    return IfName(f"net{index}") if index else first


def _clash(name: IfName, network: str, cause: str) -> CniError:
    return CniError(Code.CONFIG, f"cannot name interface {name!r} of network {network!r}: {cause}")
