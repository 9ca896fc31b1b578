# SPDX-License-Identifier: Apache-2.0
"""The default routes of a pod: read, changed as a route plan says, and read back (C48, C52).

Must not choose routes, and must not touch other tables than the main one: sbr and vrf keep theirs there.
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EHOSTUNREACH, ENETUNREACH
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Final, Protocol, Self

from metacni.cni.errors import CniError, Code
from metacni.cni.names import IfName
from metacni.netns.opener import Opened, Opener
from metacni.netns.rtnetlink import Message, Rtnetlink
from metacni.netns.sandbox import cause

Gateway = IPv4Address | IPv6Address

_IPV6: Final = 6
_MAIN_TABLE: Final = 254
_UNICAST: Final = 1
_CLONED: Final = 0x200  # RTM_F_CLONED: a cache entry, no route of its own
_NOT_ON_LINK: Final = (ENETUNREACH, EHOSTUNREACH)  # what IPv4 and IPv6 say of such a gateway


class RouteChanges(Protocol):
    """What to change; metacni.core.routes.RoutePlan is one."""

    @property
    def remove(self) -> Sequence[tuple[IfName, int]]:
        """Interfaces and families (4 or 6) whose default routes go."""

    @property
    def add(self) -> Sequence[tuple[IfName, Gateway]]:
        """Interfaces and the gateways that become default there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One way out: an interface, and the gateway behind it if there is one."""

    ifname: IfName
    gateway: Gateway | None

    def __str__(self) -> str:
        via = f"via {str(self.gateway)!r} " if self.gateway else ""
        return f"{via}on interface {self.ifname!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultRoute:
    """A default route of the main table; it has several hops when it balances over them."""

    family: int
    metric: int
    hops: tuple[Hop, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.hops))


def change_default_routes(opener: Opener, netns_fd: int, changes: RouteChanges) -> None:
    """Carry out a route plan in a pod, and prove it by reading back.

    Raises:
        CniError: as Opener.open and PodLinks.apply.
    """
    with PodLinks(opener.open(netns_fd, sysctls_for(changes))) as pod:
        pod.apply(changes)


def sysctls_for(changes: RouteChanges) -> tuple[str, ...]:
    """The files that PodLinks.apply writes for these changes.

    An interface that loses its IPv6 default routes must learn none from router advertisements, or they come back (C52).
    Not by `accept_ra`: without it, addresses that came by advertisement would run out, hours later.
    """
    return tuple(f"ipv6/conf/{ifname}/accept_ra_defrtr" for ifname, family in changes.remove if family == _IPV6)


def is_default(message: Message) -> bool:
    """Whether a dumped route is a default route of the main table, its destination left out or spelled out (C52)."""
    unicast = message["type"] == _UNICAST and not message["flags"] & _CLONED
    return unicast and message["dst_len"] == 0 and message.get("table") == _MAIN_TABLE


def default_route(message: Message, names: Mapping[int, str]) -> DefaultRoute:
    """A dumped route as a value; `names` are the links by index."""
    parts = message.get("multipath") or (message,)
    return DefaultRoute(
        family=4 if message["family"] == socket.AF_INET else _IPV6,
        metric=message.get("priority") or 0,
        hops=tuple(_hop(part, names) for part in parts),
    )


def _hop(part: Message, names: Mapping[int, str]) -> Hop:
    index = part.get("oif") or 0
    gateway = part.get("gateway") or (part.get("via") or {}).get("addr")
    return Hop(ifname=IfName(names.get(index, f"#{index}")), gateway=ip_address(gateway) if gateway else None)


class PodLinks:
    """Links and routes of one pod, over what the opener opened there. One thread makes it, uses it and closes it."""

    def __init__(self, opened: Opened) -> None:
        """Take over what was opened: it is closed with this object."""
        self._opened = opened
        try:
            self._netlink = Rtnetlink(opened.socket)
        except BaseException:
            opened.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket and the files."""
        try:
            self._netlink.close()
        finally:
            self._opened.close()

    def default_routes(self, family: int) -> tuple[DefaultRoute, ...]:
        """The default routes of a family (4 or 6) in the main table, over all interfaces.

        Raises:
            CniError: code 5; code 11, they changed during each of several looks.
        """
        return tuple(route for route, _ in self._default_routes(family, self._names()))

    def apply(self, changes: RouteChanges) -> None:
        """Remove, then add, then read back.

        A gateway that no address or route of its interface covers is refused, not forced with `onlink`: a mistyped one
        would leave the pod with a default route into nowhere, and without a word.

        Raises:
            CniError: code 5, naming interface and gateway; code 7, the gateway cannot be reached on that interface.
        """
        for name in sysctls_for(changes):
            self._switch_off(name)
        names = self._names()
        for family in sorted({family for _, family in changes.remove}):
            self._remove(_removed(changes, family), self._default_routes(family, names))
        for ifname, gateway in changes.add:
            self._add(ifname, gateway, names)
        for family in sorted({family for _, family in changes.remove} | {gw.version for _, gw in changes.add}):
            _verify(family, changes, [route for route, _ in self._default_routes(family, names)])

    def _names(self) -> dict[int, str]:
        with _failing("cannot list the links of the pod"):
            return self._netlink.links()

    def _default_routes(self, family: int, names: Mapping[int, str]) -> list[tuple[DefaultRoute, Message]]:
        with _failing(f"cannot list the IPv{family} routes of the pod"):
            found = filter(is_default, self._netlink.routes(family))
            return [(default_route(message, names), message) for message in found]

    def _switch_off(self, name: str) -> None:
        fd = self._opened.sysctls.get(name)
        if fd is None:  # no such interface: then it has no routes; or no IPv6
            return
        with _failing(f"cannot set sysctl {name!r} of the pod"):
            if os.pread(fd, 16, 0).strip() != b"0":
                os.pwrite(fd, b"0", 0)

    def _remove(self, ifnames: frozenset[IfName], routes: Sequence[tuple[DefaultRoute, Message]]) -> None:
        for route, message in routes:
            leaving = [index for index, hop in enumerate(route.hops) if hop.ifname in ifnames]
            what = f"cannot remove the IPv{route.family} default route {route}"
            with _failing(what, fine=ProcessLookupError):  # gone meanwhile
                if len(leaving) == len(route.hops):
                    self._netlink.delete_route(message)
                elif leaving and route.family == _IPV6:  # two plugins' routes: the kernel lists them as one
                    for index in leaving:
                        self._netlink.delete_hop(message, message.get("multipath", ())[index])
                elif leaving:
                    raise CniError(Code.IO, f"{what}: it is balanced over an interface that keeps its default routes")

    def _add(self, ifname: IfName, gateway: Gateway, names: Mapping[int, str]) -> None:
        what = f"cannot add the default route {Hop(ifname=ifname, gateway=gateway)}"
        with _failing(what, fine=FileExistsError):  # ours, or another: reading back tells
            index = next((index for index, name in names.items() if name == ifname), None)
            if index is None:
                raise CniError(Code.IO, f"{what}: the pod has no such interface")
            self._netlink.add_default_route(gateway.version, str(gateway), index)


def _verify(family: int, changes: RouteChanges, routes: Sequence[DefaultRoute]) -> None:
    standing = [hop for route in routes for hop in route.hops]
    wanted = [Hop(ifname=ifname, gateway=gateway) for ifname, gateway in changes.add if gateway.version == family]
    for hop in wanted:
        if hop not in standing:
            others = "; ".join(map(str, routes)) or "none"
            raise CniError(Code.IO, f"cannot add the default route {hop}: IPv{family} has instead: {others}")
    for hop in standing:
        if hop.ifname in _removed(changes, family) and hop not in wanted:
            raise CniError(Code.IO, f"cannot remove the IPv{family} default route {hop}: it is still there, or again")


def _removed(changes: RouteChanges, family: int) -> frozenset[IfName]:
    return frozenset(ifname for ifname, its in changes.remove if its == family)


@contextmanager
def _failing(what: str, *, fine: type[OSError] | None = None) -> Iterator[None]:
    """Turn the kernel's refusal into an error that starts with `what`; one kind of refusal may be fine."""
    try:
        yield
    except InterruptedError as error:
        raise CniError(Code.TRY_AGAIN, f"{what}: {error}") from error
    except OSError as error:
        if fine is not None and isinstance(error, fine):
            return
        if error.errno in _NOT_ON_LINK:
            hint = "no address or route of the interface covers it: check the network's addresses, and default-route"
            raise CniError(Code.CONFIG, f"{what}: the gateway cannot be reached on that interface", hint) from error
        raise CniError(Code.IO, f"{what}: {cause(error)}") from error
