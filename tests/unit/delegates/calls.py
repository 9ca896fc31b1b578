# SPDX-License-Identifier: Apache-2.0
"""Calls of delegates without a kernel: edges that must not be used, and an IPAM in memory."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

from delegates._program import Edges
from delegates._skeleton import Delegate
from metacni.cni.errors import CniError
from metacni.cni.names import PluginType
from metacni.netns.netlink import Netlink
from metacni.netns.opener import Opened


class Closed:
    """An opener that nobody may ask."""

    def open(self, netns_fd: int, sysctls: Sequence[str] = ()) -> Opened:
        """Fail the test."""
        raise AssertionError(f"pod {netns_fd} was entered for {sysctls}")


class Ipam:
    """An IPAM plugin: what it was asked, and what it prints or refuses."""

    def __init__(self, output: str = "", refuses: CniError | None = None) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        self._output = output
        self._refuses = refuses

    def run(self, kind: PluginType, environment: Mapping[str, str], stdin: bytes) -> bytes:
        """Note it, answer."""
        self.asked.append((kind, environment["CNI_COMMAND"], json.loads(stdin)))
        if self._refuses:
            raise self._refuses
        return self._output.encode()


def no_host() -> AbstractContextManager[Netlink]:
    """Let nobody work on the node."""
    refuse()


def any_pod(fd: int) -> None:
    """Take the impossible descriptor for a pod's."""
    assert fd == -1


def refuse() -> NoReturn:
    """Fail the test."""
    raise AssertionError("the node's links were asked for")


def edges(ipam: Ipam | None = None) -> Edges:
    """An outside world of which only the disk and this IPAM are there."""
    return Edges(opener=Closed(), host=no_host, ipam=ipam or Ipam(), require_pod=any_pod, sysctls=Path("/nonexistent"))


def variables(verb: str, **more: str) -> dict[str, str]:
    """The variables of a call."""
    return {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/p",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
    } | more


def serve(
    delegate: Delegate[Any], verb: str, config: Mapping[str, Any], *, ipam: Ipam | None = None, **more: str
) -> dict[str, Any]:
    """One operation, where a pod's descriptor is needed an impossible one; what it prints."""
    pod = -1 if verb in ("ADD", "CHECK") else None
    text = json.dumps(config).encode()
    output = delegate.serve(variables(verb, **more), text, pod=pod, edges=edges(ipam))
    body: dict[str, Any] = json.loads(output) if output else {}
    return body
