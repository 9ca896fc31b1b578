# SPDX-License-Identifier: Apache-2.0
"""The twins as a fixture, and the guard that the machine's own network stays as it is."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.twins import Twin, twins

Pair = tuple[Twin, Twin]


@pytest.fixture(autouse=True, scope="session")
def _stays_at_home() -> Iterator[None]:
    home = Path("/proc/self/ns/net").readlink()
    yield
    assert Path("/proc/self/ns/net").readlink() == home


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[[str], Pair]]:
    """`pair(ifname)`: the reference and ours, each with its own node and pod."""
    (tmp_path / "reference.resolv").write_text(
        "nameserver 10.1.0.3\nsearch a.example b.example\n; nothing\noptions x\n"
    )
    (tmp_path / "ours.resolv").write_bytes((tmp_path / "reference.resolv").read_bytes())
    with ExitStack() as made:

        def make(ifname: str) -> Pair:
            return made.enter_context(twins(tmp_path, ifname))

        yield make
