# SPDX-License-Identifier: Apache-2.0
"""The few rtnetlink calls we need, typed. The one place of metacni that knows pyroute2; its errors leave as OSError.

TRAP: an IPRoute without a socket of ours opens another one for each thread that uses it, in that thread's namespace: a
delete meant for a pod hits the node. Over our socket it raises RuntimeError in a foreign thread, and sends nothing.
TRAP: pyroute2 0.9 has an exception for interrupted dumps and never raises it, so the kernel's flag is looked at here.
Must not choose what to change.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_GETLINK, RTM_GETROUTE, ifinfmsg, rtmsg

Message = Mapping[str, Any]
"""A decoded netlink message: header fields and attributes by name (`get("gateway")`). None leaves this package."""

FAMILIES: Final[Mapping[int, int]] = {4: socket.AF_INET, 6: socket.AF_INET6}
MAX_DUMPS: Final = 10

_STATIC: Final = 4  # RTPROT_STATIC: set by an administrator, neither learnt nor made at boot
_SKIP_STATISTICS: Final = 8  # RTEXT_FILTER_SKIP_STATS: most of a link's message, and unused here
_ROUTE_FIELDS: Final = ("family", "dst_len", "tos", "table", "proto", "scope", "type")
_ROUTE_PARTS: Final = frozenset(
    {"RTA_TABLE", "RTA_PRIORITY", "RTA_OIF", "RTA_GATEWAY", "RTA_VIA", "RTA_MULTIPATH", "RTA_PREFSRC"}
)

_IPRoute: Any = IPRoute  # its methods are made at run time: nothing about it can be checked
_route: Any = rtmsg.rtmsg
_link: Any = ifinfmsg.ifinfmsg


class Rtnetlink:
    """One netlink socket. The thread that makes it uses it and closes it."""

    def __init__(self, sock: socket.socket) -> None:
        """Work over this socket, bound and not blocking; it is closed with this object."""
        self._netlink = _IPRoute(use_socket=sock)
        self._netlink.status["nlm_generator"] = False  # IPRoute.nlm_request asks for it, IPRoute does not set it

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def routes(self, family: int) -> Sequence[Message]:
        """All routes of a family (4 or 6), of all tables. Raises OSError; InterruptedError: they keep changing."""
        return self._dump(lambda: _route().setvalue({"family": FAMILIES[family]}), RTM_GETROUTE)

    def links(self) -> dict[int, str]:
        """The names of the links by index. Raises as `routes` does."""
        found = self._dump(lambda: _link().setvalue({"attrs": [("IFLA_EXT_MASK", _SKIP_STATISTICS)]}), RTM_GETLINK)
        return {link["index"]: str(link.get("ifname")) for link in found}

    def delete_route(self, route: Message) -> None:
        """Delete exactly this dumped route.

        Raises:
            ProcessLookupError: it is gone, or it is one over a nexthop object, which pyroute2 cannot name.
            OSError: the kernel refuses.
        """
        self._delete(route, [(name, value) for name, value in route["attrs"] if name in _ROUTE_PARTS])

    def delete_hop(self, route: Message, hop: Message) -> None:
        """Delete one hop of a dumped IPv6 route; IPv4's is one thing and cannot lose a part. Raises as above."""
        whole = [(name, value) for name, value in route["attrs"] if name in _ROUTE_PARTS - {"RTA_MULTIPATH"}]
        own = [(name, value) for name, value in hop["attrs"] if name in _ROUTE_PARTS]
        self._delete(route, [*whole, *own, ("RTA_OIF", hop["oif"])])

    def _delete(self, route: Message, parts: Sequence[tuple[str, object]]) -> None:
        body = {name: route[name] for name in _ROUTE_FIELDS} | {"attrs": parts}
        with _translated():
            self._netlink.nlm_request(_route().setvalue(body), RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK)

    def add_default_route(self, family: int, gateway: str, index: int) -> None:
        """Add one to the main table, via a gateway on a link. Raises OSError; FileExistsError: one stands there."""
        with _translated():
            self._netlink.route("add", family=FAMILIES[family], gateway=gateway, oif=index, proto=_STATIC)

    def _dump(self, request: Callable[[], Message], kind: int) -> Sequence[Message]:
        return repeated(lambda note: self._dump_once(request(), kind, note))

    def _dump_once(self, request: Message, kind: int, note: Callable[[Message], None]) -> Sequence[Message]:
        with _translated():
            found: Sequence[Message] = self._netlink.nlm_request(
                request, kind, NLM_F_REQUEST | NLM_F_DUMP, callback=note
            )
            return found


def repeated(dump: Callable[[Callable[[Message], None]], Sequence[Message]]) -> Sequence[Message]:
    """Dump until nothing changed while the kernel was at it: such a dump may miss things that were there all along.

    Args:
        dump: dumps once; calls its argument with each message and with the end mark, which may alone carry the flag.

    Raises:
        InterruptedError: something changed each time.
    """
    for _ in range(MAX_DUMPS):
        seen: list[Message] = []
        found = dump(seen.append)
        if not any(message["header"]["flags"] & NLM_F_DUMP_INTR for message in seen):
            return found
    raise InterruptedError(f"the kernel's tables changed during each of {MAX_DUMPS} looks")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
