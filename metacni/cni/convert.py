# SPDX-License-Identifier: Apache-2.0
"""Results from and to the JSON of every version, through the one `Result` in the middle.

Seven versions, but only the four shapes of `versions.Shape`: no version is named here. Down-conversion drops what the
target cannot hold and nothing else; reading takes newer keys from an older version's result, as Go's library does,
writing never leaks them (A52, A53).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from metacni.cni import keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json, describe
from metacni.cni.result import Address, Dns, Interface, Result, Route
from metacni.cni.versions import known, shape

_FAMILIES = {4: "ip4", 6: "ip6"}  # in the order in which up-conversion lists them (A50)
_ADDRESS = re.compile(r"[0-9a-fA-F:.]+")  # stricter than ipaddress, which takes zones and netmasks
_PREFIXED = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")  # an address carries its prefix in every version (A55)
_ROUTE_NUMBERS = ("mtu", "advmss", "priority", "table", "scope")


def parse(body: Mapping[str, Json], version: str) -> Result:
    """The result in `body`, whose own `cniVersion` wins; `version` is that of the configuration (A41, A54)."""
    held = shape(keys.text(body, "cniVersion") or version)
    dns = keys.mapping(body, "dns") or {}
    return (_parse_lists if held.lists else _parse_pair)(
        body,
        Dns(
            nameservers=keys.texts(dns, "nameservers"),
            domain=keys.text(dns, "domain"),
            search=keys.texts(dns, "search"),
            options=keys.texts(dns, "options"),
        ),
    )


def render(result: Result, version: str) -> dict[str, Json]:
    """The result as an object of exactly this version (A40)."""
    version = known(version)
    target = shape(version)
    body: dict[str, Json] = {"cniVersion": version}
    if target.lists:
        lists: dict[str, list[Json]] = {
            "interfaces": [_interface(item, tuned=target.tuning) for item in result.interfaces],
            "ips": [_address(item, family=target.family) for item in result.ips],
            "routes": [_route(item, tuned=target.tuning) for item in result.routes],
        }
        body.update((key, items) for key, items in lists.items() if items)
    else:
        body.update(_pair(result, version))
    dns = render_dns(result.dns)
    if dns or target.empty_dns:
        body["dns"] = dns
    return body


def _parse_lists(body: Mapping[str, Json], dns: Dns) -> Result:
    interfaces = tuple(_parse_interface(item) for item in _objects(body, "interfaces"))
    ips = tuple(_parse_address(item, len(interfaces)) for item in _objects(body, "ips"))
    return Result(interfaces=interfaces, ips=ips, routes=_parse_routes(body), dns=dns)


def _parse_pair(body: Mapping[str, Json], dns: Dns) -> Result:
    """One address per family; its routes stand inside it (A44)."""
    families = [family for key in _FAMILIES.values() if (family := keys.mapping(body, key)) is not None]
    ips = tuple(Address(address=_prefixed(item, "ip"), gateway=_ip(item, "gateway")) for item in families)
    return Result(ips=ips, routes=tuple(route for item in families for route in _parse_routes(item)), dns=dns)


def _parse_interface(item: Mapping[str, Json]) -> Interface:
    name = keys.text(item, "name")
    if not name:
        raise _nonsense("name", "missing")
    return Interface(
        name=name,
        mac=keys.text(item, "mac"),
        mtu=keys.integer(item, "mtu"),
        sandbox=keys.text(item, "sandbox"),
        socket_path=keys.text(item, "socketPath"),
        pci_id=keys.text(item, "pciID"),
    )


def _parse_address(item: Mapping[str, Json], interfaces: int) -> Address:
    index = keys.integer(item, "interface")
    if index is not None and (index < 0 or not interfaces):
        index = None  # what old plugins write for "none known" (A49)
    if index is not None and index >= interfaces:
        raise _nonsense("interface", f"index {index} of {interfaces} interfaces")
    return Address(address=_prefixed(item, "address"), gateway=_ip(item, "gateway"), interface=index)


def _parse_routes(body: Mapping[str, Json]) -> tuple[Route, ...]:
    return tuple(
        Route(
            dst=_destination(item, "dst"),
            gw=_ip(item, "gw"),
            mtu=keys.integer(item, "mtu"),
            advmss=keys.integer(item, "advmss"),
            priority=keys.integer(item, "priority"),
            table=keys.integer(item, "table"),
            scope=keys.integer(item, "scope"),
        )
        for item in _objects(body, "routes")
    )


def _objects(body: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    items = keys.items(body, key) or []
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) != len(items):
        raise _nonsense(key, f"{describe(items)} is not a list of objects")
    return objects


def _prefixed(item: Mapping[str, Json], key: str) -> IPv4Interface | IPv6Interface:
    text = keys.text(item, key)
    try:
        return _to_prefixed(text)
    except ValueError:
        raise _nonsense(key, f"{describe(text)} is not an address with a prefix") from None


def _destination(item: Mapping[str, Json], key: str) -> IPv4Network | IPv6Network:
    text = keys.text(item, key)
    try:
        return _to_network(text)
    except ValueError:
        raise _nonsense(key, f"{describe(text)} is not a network") from None


def _ip(item: Mapping[str, Json], key: str) -> IPv4Address | IPv6Address | None:
    text = keys.text(item, key)
    try:
        return _to_address(text) if text else None
    except ValueError:
        raise _nonsense(key, f"{describe(text)} is not an address") from None


def _to_prefixed(text: str) -> IPv4Interface | IPv6Interface:
    if not _PREFIXED.fullmatch(text):
        raise ValueError
    return IPv6Interface(text) if ":" in text else IPv4Interface(text)


@lru_cache(maxsize=256)  # destinations and gateways are the same for every pod, and ipaddress is slow
def _to_network(text: str) -> IPv4Network | IPv6Network:
    return _to_prefixed(text).network


@lru_cache(maxsize=256)
def _to_address(text: str) -> IPv4Address | IPv6Address:
    if not _ADDRESS.fullmatch(text):
        raise ValueError
    return IPv6Address(text) if ":" in text else IPv4Address(text)


def _nonsense(key: str, cause: str) -> CniError:
    return CniError.decode(f"result key {key!r}", cause)


def _interface(item: Interface, *, tuned: bool) -> dict[str, Json]:
    body: dict[str, Json] = {"name": item.name}
    if item.mac:
        body["mac"] = item.mac
    if tuned and item.mtu is not None:
        body["mtu"] = item.mtu
    if item.sandbox:
        body["sandbox"] = item.sandbox
    if tuned and item.socket_path:
        body["socketPath"] = item.socket_path
    if tuned and item.pci_id:
        body["pciID"] = item.pci_id
    return body


def _address(item: Address, *, family: bool) -> dict[str, Json]:
    body: dict[str, Json] = {"version": str(item.address.version)} if family else {}
    if item.interface is not None:
        body["interface"] = item.interface
    body["address"] = str(item.address)
    if item.gateway is not None:
        body["gateway"] = str(item.gateway)
    return body


def _route(item: Route, *, tuned: bool) -> dict[str, Json]:
    body: dict[str, Json] = {"dst": str(item.dst)}
    if item.gw is not None:
        body["gw"] = str(item.gw)
    if tuned:
        numbers = ((key, getattr(item, key)) for key in _ROUTE_NUMBERS)
        body.update((key, number) for key, number in numbers if number is not None)
    return body


def _pair(result: Result, version: str) -> dict[str, Json]:
    """The first address of each family and the routes of that family (A51)."""
    body: dict[str, Json] = {}
    for family, key in _FAMILIES.items():
        first = next((item for item in result.ips if item.address.version == family), None)
        if first is None:
            continue
        part: dict[str, Json] = {"ip": str(first.address)}
        if first.gateway is not None:
            part["gateway"] = str(first.gateway)
        routes: list[Json] = [_route(item, tuned=False) for item in result.routes if item.dst.version == family]
        if routes:
            part["routes"] = routes
        body[key] = part
    if not body:
        raise CniError(Code.INTERNAL, f"cannot render result as CNI version {version!r}: no valid IP addresses")
    return body


def render_dns(dns: Dns) -> dict[str, Json]:
    """The object of a result's or a status's `dns`, with what is set only (A48)."""
    fields: dict[str, Json] = {
        "nameservers": [*dns.nameservers],
        "domain": dns.domain,
        "search": [*dns.search],
        "options": [*dns.options],
    }
    return {key: value for key, value in fields.items() if value}
