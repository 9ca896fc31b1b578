# SPDX-License-Identifier: Apache-2.0
"""The text of the annotation `k8s.v1.cni.cncf.io/network-status`: what is in force after the route plan (C54-C65).

One entry for each attachment; one whose plugin made several interfaces in the pod has an entry for each, because an
address that no entry names may be taken for free. Writing the annotation is not this module's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from metacni.cni import convert, jsontext
from metacni.cni.jsontext import Json
from metacni.cni.names import NetnsPath
from metacni.cni.result import Address, Interface, Result
from metacni.core import podside, routes
from metacni.core.plan import Attachment

ANNOTATION: Final = "k8s.v1.cni.cncf.io/network-status"


def network_status(attachments: Sequence[Attachment], results: Sequence[Result], netns: NetnsPath) -> str:
    """One compact JSON list, in the order of attachment (C65)."""
    entries: list[Json] = [
        entry
        for item, result in zip(attachments, results, strict=True)
        for entry in _entries(item, podside.placed(item, result, netns), netns)
    ]
    return jsontext.dumps(entries).decode()


def _entries(item: Attachment, result: Result, netns: NetnsPath) -> Iterator[dict[str, Json]]:
    own = podside.own_index(item, result)
    if own is None:  # C62: a plugin that reports neither interface nor address was attached all the same
        own = len(result.interfaces)
        result = replace(result, interfaces=(*result.interfaces, Interface(name=item.ifname, sandbox=netns)))
    leading = _leading(result, own)
    for index, interface in enumerate(result.interfaces):
        if interface.sandbox:
            here = [address for address in result.ips if address.interface == index]
            network = _network(item, result) if index == own else {}
            entry = _entry(item, interface, here, default=item.default and index == leading)
            yield entry | {"dns": convert.render_dns(result.dns)} | network  # always there, as Multus has it (C65)


def _leading(result: Result, own: int) -> int:
    """Which of several interfaces is the default one: the first address' with a gateway, if it is the pod's (C63)."""
    index = next((address.interface for address in result.ips if address.gateway is not None), None)
    return index if index is not None and result.interfaces[index].sandbox else own


def _entry(item: Attachment, interface: Interface, addresses: Sequence[Address], *, default: bool) -> dict[str, Json]:
    """What one interface has; `default` is always written, the standard requires it (C58)."""
    entry: dict[str, Json] = {
        "name": item.network,
        "interface": interface.name,
        "ips": [str(address.address.ip) for address in addresses],  # C64: others compare them as bare addresses
        "mac": interface.mac,
        "mtu": interface.mtu,
    }
    said: dict[str, Json] = {key: value for key, value in entry.items() if value}
    return said | {"default": default}


def _network(item: Attachment, result: Result) -> dict[str, Json]:
    """What the whole attachment has: Multus's key for gateways, and the standard's where they were asked for (C56)."""
    gateways: list[Json] = [
        str(gateway)
        for route in result.routes
        if routes.is_default(route) and (gateway := routes.gateway(route, result)) is not None
    ]
    found: dict[str, Json] = {"gateway": gateways} if gateways else {}
    return found if item.default_route is None else found | {"default-route": gateways}
