# SPDX-License-Identifier: Apache-2.0
"""The shim's binaries, compiled once, and the hosts to call them on."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from metacni.shim import build
from tests.unit.shim.host import SANITIZED, Host

SHORT = 10  # milliseconds that a second lasts for the shims whose waits are tested


@pytest.fixture(scope="session")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a shim the first time somebody asks for it."""
    folder = tmp_path_factory.mktemp("shims")

    def built(kind: str, second: int, agent: int = os.getuid(), *more: str) -> Path:
        target = folder / "-".join([kind, str(second), str(agent), *("cgroup" for _ in more[:1])])
        if not target.exists():
            mode = build.RELEASE if kind == "plain" else SANITIZED
            flags = (f"-DSECOND={second}", f"-DAGENT_UID={agent}", '-DMETACNI_VERSION="9.8.7"', *more)
            build.compile_shim(target, *flags, mode=mode)
        return target

    return built


@pytest.fixture(
    params=["plain", pytest.param("sanitized", marks=pytest.mark.part("shim under ASan and UBSan"))],
)
def host_of(
    request: pytest.FixtureRequest, shims: Callable[..., Path], tmp_path: Path
) -> Iterator[Callable[[int], Host]]:
    """Make a host whose shim counts seconds of so many milliseconds, once for each kind of build."""
    with ExitStack() as stack:
        yield lambda second: Host(shims(request.param, second), tmp_path, stack)


@pytest.fixture
def host(host_of: Callable[[int], Host]) -> Host:
    """Make a host with an agent that listens."""
    made = host_of(1000)
    made.listen()
    return made


@pytest.fixture
def odd(shims: Callable[..., Path], host_of: Callable[[int], Host], tmp_path: Path) -> Host:
    """Make a host with an agent that listens, where /proc says of cgroups what the test's own folder says."""
    made = host_of(1000)
    kind = made.binary.name.partition("-")[0]
    made.binary = shims(kind, 1000, os.getuid(), '-DOWN_CGROUPS="cgroup"', '-DMOUNTS="mountinfo"')
    made.cwd = tmp_path
    made.listen()
    return made


@pytest.fixture
def lonely(host_of: Callable[[int], Host]) -> Host:
    """Make a host where nobody listens and a second is short."""
    return host_of(SHORT)
