# SPDX-License-Identifier: Apache-2.0
"""What each verb of a delegate gets: one operation, everything about it checked, and the outside world.

Must not know any delegate.
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
from metacni.netns import sysctl
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


class Edges(Protocol):
    """The outside world, handed in: whether a delegate runs in the agent or as a program shows nowhere else."""

    @property
    def opener(self) -> Opener:
        """Who enters the pod."""

    @property
    def host(self) -> Callable[[], AbstractContextManager[Netlink]]:
        """A handle to the node's own namespace for the calling thread."""

    @property
    def ipam(self) -> IpamRunner:
        """Who runs an IPAM plugin that is not ours."""

    @property
    def require_pod(self) -> Callable[[int], None]:
        """Refuses a descriptor that is no namespace, or the node's own, before anything is made in it."""

    @property
    def sysctls(self) -> Path:
        """Where the node's /proc/sys/net is."""

    @property
    def visible(self) -> Visible:
        """Which of the node's paths are the same here; another one is refused, never taken for absent (decision 5)."""

    @property
    def made(self) -> Callable[[int], None]:
        """Is told the index of each link made in the pod that may go with its group (decision 6)."""


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

    def on_node(self, path: Path) -> Path:
        """A path of the node, for taking away what an earlier call put there.

        Raises:
            CniError: code 5, it is another file here: what is not seen must not pass for gone (decision 5).
        """
        if not self.edges.visible(str(path)):
            hint = "the agent saw it when the attachment was made: look at its mounts, and at the setting `hostPaths`"
            raise CniError(Code.IO, f"cannot use {str(path)!r} of the node: it is not mounted in the agent", hint)
        return path

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


EVERYTHING: Final[Visible] = lambda _: True  # noqa: E731 - a value, for a program that runs on the host
