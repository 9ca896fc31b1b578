# SPDX-License-Identifier: Apache-2.0
"""Keys that several delegates have, read and checked the same way. Must not touch anything."""

from typing import Final

from delegates._call import Body
from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.result import Dns

_MTU: Final = range(68, 65536)


def mtu(body: Body) -> int:
    """The key `mtu`; 0 is the kernel's choice.

    Raises:
        CniError: code 6, no number; code 7, one that no link can have.
    """
    value = keys.integer(body, "mtu") or 0
    if value and value not in _MTU:
        raise CniError(Code.CONFIG, f"cannot use key 'mtu': {value} is not in {_MTU[0]}-{_MTU[-1]}")
    return value


def dns(body: Body) -> Dns | None:
    """The network's own resolver settings; None when no field is set, then the IPAM's count (E5)."""
    given = keys.mapping(body, "dns") or {}
    found = Dns(
        nameservers=keys.texts(given, "nameservers"),
        domain=keys.text(given, "domain"),
        search=keys.texts(given, "search"),
        options=keys.texts(given, "options"),
    )
    lists = any(keys.find(given, key) is not None for key in ("nameservers", "search", "options"))
    return found if lists or found.domain else None
