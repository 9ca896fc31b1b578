# SPDX-License-Identifier: Apache-2.0
"""What an ADD brought about, in the words of no particular version.

The fields are the union of all versions; `convert` knows which of them a version can hold. Must not know JSON.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A link; one of the host has no sandbox, one of the pod has CNI_NETNS there (A56)."""

    name: str
    mac: str = ""
    mtu: int | None = None
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address with its prefix, and the index of the interface that has it; None is "none known" (A49, A55)."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None
    interface: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route; without `gw` its gateway is that of the address of its family."""

    dst: IPv4Network | IPv6Network
    gw: IPv4Address | IPv6Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Resolver settings; falsy fields are absent ones."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one plugin or of many."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = field(default_factory=Dns)
