# SPDX-License-Identifier: Apache-2.0
"""Throw-away network namespaces: each test has its own "node" and its own "pods", and never touches the machine's.

Run an agent inside the node with `nsenter --net=<host.path>` (`host.command(...)` builds it). These tests need root;
without it they fail, because a skipped kernel test proves nothing.
"""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RUN_NETNS = Path("/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A named network namespace of one test."""

    name: str

    @property
    def path(self) -> Path:
        """The file that keeps the namespace alive, as CNI_NETNS names it."""
        return RUN_NETNS / self.name

    def command(self, *argv: str) -> list[str]:
        """The command line that runs `argv` inside this namespace (and in no other new namespace)."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, *argv: str) -> str:
        """Run a program inside, wait at most 20 s, return what it printed."""
        done = subprocess.run(self.command(*argv), check=False, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, f"{argv} in {self.name}: status {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def cable(self, ifname: str, peer: "Namespace", peer_ifname: str, *addresses: str) -> None:
        """Lay a veth cable to another namespace, both ends up; `addresses` are for this end and usable at once."""
        self.run("ip", "link", "add", ifname, "type", "veth", "peer", peer_ifname, "netns", peer.name)
        peer.run("ip", "link", "set", peer_ifname, "up")
        self.run("ip", "link", "set", ifname, "up")
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            self.run("ip", "address", "add", address, "dev", ifname, *nodad)

    def processes(self) -> tuple[int, ...]:
        """The processes that live in this namespace, found by its inode."""
        return _processes_in(self.path.stat().st_ino)


Ip = Callable[..., Any]
"""`ip(namespace, "route", "show")`: the parsed output of `ip -j`; `[]` for a command that prints nothing."""


def run_ip(namespace: Namespace, *args: str) -> Any:
    """Run `ip -j <args>` in a namespace and parse what it prints."""
    text = namespace.run("ip", "-j", *args)
    return json.loads(text) if text.strip() else []


@contextmanager
def fresh_namespace() -> Iterator[Namespace]:
    """Make one namespace with `lo` up; afterwards it is gone and no process is left in it."""
    namespace = Namespace(name=f"mc-test-{secrets.token_hex(5)}")
    subprocess.run(["ip", "netns", "add", namespace.name], check=True, timeout=20)
    try:
        run_ip(namespace, "link", "set", "lo", "up")
        yield namespace
    finally:
        left = namespace.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", namespace.name], check=True, timeout=20)
    assert not namespace.path.exists(), f"{namespace.path} is left"
    assert not left, f"processes {left} were left running in {namespace.name}"


def _processes_in(inode: int) -> tuple[int, ...]:
    def lives_there(pid: str) -> bool:
        try:
            return Path(f"/proc/{pid}/ns/net").stat().st_ino == inode
        except OSError:
            return False  # it ended meanwhile

    return tuple(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and lives_there(pid))  # noqa: PTH208 - as text


@pytest.fixture(scope="session", autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("tests/kernel needs root: it makes network namespaces")


@pytest.fixture(scope="session", autouse=True)
def _machine_untouched(_needs_root: None) -> Iterator[None]:
    own = Path("/proc/self/ns/net").readlink()
    before = _default_routes()
    yield
    assert Path("/proc/self/ns/net").readlink() == own, "the test process ended up in another network namespace"
    assert _default_routes() == before, "the machine's own default routes changed"


def _default_routes() -> str:
    return "".join(
        subprocess.run(["ip", family, "route", "show", "default"], check=True, capture_output=True, text=True).stdout
        for family in ("-4", "-6")
    )


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A fresh namespace that acts as the node."""
    with fresh_namespace() as namespace:
        yield namespace


@pytest.fixture
def pod() -> Iterator[Callable[[], Namespace]]:
    """`pod()` makes a fresh namespace that acts as one pod; all of them are taken away after the test."""
    with ExitStack() as made:
        yield lambda: made.enter_context(fresh_namespace())


@pytest.fixture
def ip() -> Ip:
    """`ip(namespace, *args)`: the parsed output of `ip -j *args` inside that namespace."""
    return run_ip
