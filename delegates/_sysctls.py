# SPDX-License-Identifier: Apache-2.0
"""The sysctls of a configuration: which files of the pod they are (E56). Must not open any."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from delegates._call import Body
from metacni.cni import keys
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.jsontext import describe

WRITE_ONLY: Final = frozenset({"ipv4/route/flush", "ipv6/route/flush"})
"""Files that cannot be read, so that the opener, which opens for both, cannot open them."""

_KEY: Final = "sysctl"
_IFNAME: Final = "IFNAME"
_ROOT: Final = "net"
_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A sysctl that is to have a value."""

    key: str
    """As it is spelt in the configuration."""
    name: str
    """Its file below /proc/sys/net."""
    value: str


def texts(body: Body) -> dict[str, str]:
    """The sysctls of one object as they are spelt; a null is none.

    Raises:
        CniError: code 6, one that is no string.
    """
    found = {}
    for key, value in (keys.mapping(body, _KEY) or {}).items():
        if isinstance(value, str):
            found[key] = value
        elif value is not None:
            raise CniError.decode(f"key '{_KEY}.{excerpt(key)}'", f"{describe(value)} is not a string")
    return found


def settings(sysctls: Mapping[str, str], ifname: str) -> tuple[Setting, ...]:
    """The files that are meant.

    Raises:
        CniError: code 7, one is none of the network's, or two spellings of one have two values.
    """
    found: dict[str, Setting] = {}
    for key, value in sysctls.items():
        name = file(key, ifname)
        other = found.setdefault(name, Setting(key=key, name=name, value=value))
        if other.value != value:
            raise CniError(Code.CONFIG, f"cannot use key {_KEY!r}: {other.key!r} and {key!r} are one, with two values")
    return tuple(found.values())


def file(key: str, ifname: str) -> str:
    """A file below /proc/sys/net: each dot is a slash, but for those of the interface that IFNAME stands for.

    Raises:
        CniError: code 7, it is none of the network's.
    """
    path = key.replace(".", "/").replace(_IFNAME, ifname, 1)
    parts = [part for part in path.split("/") if part]
    if len(key) > _MAX or not key.isprintable() or parts[:1] != [_ROOT] or len(parts) == 1:
        raise CniError(Code.CONFIG, f"cannot use key {_KEY!r}: {excerpt(key)!r} is no setting of the network")
    return "/".join(parts[1:])


def refuse_twice(stdin: bytes) -> None:
    """Refuse the same key twice: JSON would take the last one, and nobody knows which was meant.

    Raises:
        CniError: code 7.
    """
    seen: set[str] = set()
    for key, value in json.loads(stdin, object_pairs_hook=tuple):
        if key.lower() == _KEY and isinstance(value, tuple):
            for name, _ in value:
                if name in seen:
                    raise CniError(Code.CONFIG, f"cannot use key {_KEY!r}: {excerpt(name)!r} stands there twice")
                seen.add(name)
