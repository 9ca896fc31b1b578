# SPDX-License-Identifier: Apache-2.0
"""The part of a configuration under `ipam`, as far as our IPAMs read it alike: routes, folders, bounds.

Must not know what an IPAM does with it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from delegates import _text
from delegates._call import Body, Visible
from metacni.cni import keys, versions
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.result import Route

_ROUTE_KEYS: Final = frozenset({"dst", "gw", "mtu", "advmss", "priority", "table", "scope"})
_DNS_KEYS: Final = frozenset({"nameservers", "domain", "search", "options"})


def of(body: Body) -> dict[str, Json]:
    """The part itself. Raises CniError: code 7, there is none."""
    ipam = keys.mapping(body, "ipam")
    if ipam is None:
        raise CniError(Code.CONFIG, "cannot allocate addresses: key 'ipam' is missing")
    return ipam


def ip_ranges(body: Body) -> list[Json]:
    """The range sets that the runtime hands over."""
    return keys.items(keys.mapping(body, "runtimeConfig") or {}, "ipRanges") or []


def undeclared(ipam: Mapping[str, Json], known: frozenset[str]) -> str | None:
    """The first key, of the part, its routes or its `dns`, that nobody carries out, as a reason to decline."""
    key = _text.unknown(ipam, known)
    if key:
        return f"key 'ipam.{key}' ({describe(ipam[key])}) is not known"
    for route in _text.objects(ipam, "routes"):
        key = _text.unknown(route, _ROUTE_KEYS)
        if key:
            return f"key '{key}' of a route ({describe(route[key])}) is not known"
    given = (keys.mapping(ipam, "dns") or {}) if "dns" in known else {}
    key = _text.unknown(given, _DNS_KEYS)
    return f"key 'ipam.dns.{key}' ({describe(given[key])}) is not known" if key else None


def hidden(visible: Visible, **paths: str) -> str | None:
    """The first of these paths that the node has and the agent does not, as a reason to decline."""
    for name, path in paths.items():
        if path and not visible(path):
            return f"path {path!r} of key 'ipam.{name}' is not mounted in the agent"
    return None


def data_dir(ipam: Mapping[str, Json], default: str) -> Path:
    """Where leases are kept. Raises CniError: code 7, no absolute path, or one that leads up again."""
    text = keys.text(ipam, "dataDir") or default
    if not text.startswith("/") or "\0" in text:
        raise CniError(Code.CONFIG, f"cannot use key 'dataDir' {describe(text)}: not an absolute path")
    if ".." in text.split("/"):
        raise CniError(Code.CONFIG, f"cannot use key 'dataDir' {describe(text)}: it holds '..'")
    return Path(text)


def routes(ipam: Mapping[str, Json]) -> tuple[Route, ...]:
    """The network's routes. Raises CniError: code 6, a wrong JSON type; code 7, values that cannot be."""
    return tuple(map(_route, _text.objects(ipam, "routes")))


def require_room(version: str, families: Iterable[int]) -> None:
    """Refuse more addresses of a family than a result of this version can hold (F4, F24)."""
    listed = list(families)
    if not versions.shape(version).lists and len(listed) != len(set(listed)):
        raise CniError(Code.CONFIG, f"cannot give more than one address per family: CNI version {version!r} holds one")


def _route(item: Mapping[str, Json]) -> Route:
    dst, gateway = keys.text(item, "dst"), keys.text(item, "gw")
    found = _text.prefixed("dst", dst)
    if found.version == 4 and found.ip != found.network.network_address:  # noqa: PLR2004 - IPv6's the kernel cuts off
        raise CniError(Code.CONFIG, f"cannot use dst {dst!r} of a route: host bits are set")
    hop = _text.ip("gw", gateway) if gateway else None
    if hop is not None and hop.version != found.version:
        raise CniError(Code.CONFIG, f"cannot use gw '{hop}' of route '{found.network}': of another family")
    numbers = {key: _number(item, key) for key in ("mtu", "advmss", "priority", "table", "scope")}
    return Route(dst=found.network, gw=hop, **numbers)


def _number(item: Mapping[str, Json], key: str) -> int | None:
    value = keys.integer(item, key)
    if value is not None and not 0 <= value < (256 if key == "scope" else 1 << 32):
        raise CniError(Code.CONFIG, f"cannot use key {key!r} of a route: {value} is out of range")
    return value
