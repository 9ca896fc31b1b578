# SPDX-License-Identifier: Apache-2.0
"""What every delegate is made of, and what each of its verbs gets. Must not know any delegate.

A delegate is a handful of functions over a `Call`; whether they run in the agent or as a program shows only in the
`Edges`, the outside world that is handed in.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.cni.names import ContainerId, IfName, NetworkName, PluginType
from metacni.cni.result import Result
from metacni.netns import sandbox, sysctl
from metacni.netns.netlink import Netlink
from metacni.netns.opener import Opened

Body = Mapping[str, Json]
Conf = TypeVar("Conf")
Other = TypeVar("Other")
Visible = Callable[[str], bool]
"""Whether a path of the host is the same here: in the agent's pod only what is mounted is."""


class Opener(Protocol):
    """Who enters a pod's namespace; metacni.netns.opener.Opener is one."""

    def open(self, netns_fd: int, sysctls: Sequence[str] = ()) -> Opened:
        """A netlink socket there, and the files of these settings."""


class IpamRunner(Protocol):
    """Who runs an IPAM plugin that is not ours."""

    def run(self, kind: PluginType, environment: Mapping[str, str], stdin: bytes) -> bytes:
        """Run it to its end, return what it printed. Raises CniError: it failed, or there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """The outside world."""

    opener: Opener
    host: Callable[[], AbstractContextManager[Netlink]]
    """A handle to the node's own namespace for the calling thread."""
    ipam: IpamRunner
    require_pod: Callable[[int], None] = sandbox.require_foreign
    """Refuses a descriptor that is no namespace, or the node's own, before anything is made in it."""
    settings: Path = sysctl.NODE
    """Where the node's /proc/sys/net is."""


class Pod:
    """A pod's namespace, opened: its links, and the settings that were asked for. Of one thread."""

    def __init__(self, opened: Opened) -> None:
        """Take over what was opened."""
        self._opened = opened
        self.links = Netlink(opened.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def set(self, name: str, value: str) -> bool:
        """Write a setting; False when the pod has none of that name. Raises OSError."""
        return sysctl.write_pod(self._opened.sysctls, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A valid attachment, as GC names them."""

    container: ContainerId
    ifname: IfName


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Conf]):
    """One operation, everything about it checked."""

    environment: Environment
    network: NetworkName
    version: str
    conf: Conf
    body: Body
    """The whole configuration: an IPAM reads its part of it."""
    stdin: bytes
    """It again, as it came."""
    variables: Mapping[str, str]
    """The environment's variables, as they came: a foreign IPAM gets them."""
    prev_result: Result | None
    valid: frozenset[Attachment]
    """GC: what is to be kept."""
    pod: int | None
    """A descriptor of the pod's namespace; None when there is none (any more)."""
    edges: Edges

    def open_pod(self, *sysctls: str) -> Pod:
        """Enter the pod, which ADD and CHECK have.

        Raises:
            CniError: code 8, it cannot be used; others as Opener.open.
        """
        return Pod(self.edges.opener.open(self.netns(), sysctls))

    def with_conf(self, conf: Other) -> "Call[Other]":
        """The same operation for another delegate, such as the IPAM of this one."""
        return Call(
            environment=self.environment,
            network=self.network,
            version=self.version,
            conf=conf,
            body=self.body,
            stdin=self.stdin,
            variables=self.variables,
            prev_result=self.prev_result,
            valid=self.valid,
            pod=self.pod,
            edges=self.edges,
        )

    def netns(self) -> int:
        """The descriptor, where an operation cannot do without."""
        if self.pod is None:
            raise CniError(Code.NETNS, f"cannot open network namespace {self.environment.netns!r}: it is gone")
        return self.pod

    def previous(self) -> Result:
        """The result of the ADD, which CHECK needs (A28)."""
        if self.prev_result is None:
            raise CniError(Code.CONFIG, "cannot check the attachment: key 'prevResult' is missing")
        return self.prev_result


def _nothing(_: object) -> None:
    """For a verb that has nothing to do."""


def _no_reason(_: Body, __: Visible) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate(Generic[Conf]):
    """A plugin of ours."""

    name: str
    about: str
    parse: Callable[[Body, Environment, str], Conf]
    """The configuration, checked for this version. Touches nothing. Raises CniError."""
    parse_loosely: Callable[[Body], Conf]
    """What DEL and GC need of it: one that was edited since must not keep anything from being taken away."""
    add: Callable[[Call[Conf]], Result]
    check: Callable[[Call[Conf]], None] = _nothing
    delete: Callable[[Call[Conf]], None] = _nothing
    status: Callable[[Call[Conf]], None] = _nothing
    gc: Callable[[Call[Conf]], None] = _nothing
    declines: Callable[[Body, Visible], str | None] = _no_reason
    """Why this configuration is better left to a foreign plugin; None when it is carried out to the letter."""


EVERYTHING: Final[Visible] = lambda _: True  # noqa: E731 - a value, for a program that runs on the host
