# SPDX-License-Identifier: Apache-2.0
"""The node that cluster tests share: one for each containerd, one at a time, emptied after every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import RUNTIMES, Cluster
from tests.cluster.home import Home, give_rights

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=list(RUNTIMES))
def running_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Start a node; its end fails the last test on it when anything of the node stays on the machine."""
    cluster = Cluster(request.param)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """Lend the running node to one test, and empty it afterwards."""
    yield running_cluster
    running_cluster.reset()


@pytest.fixture(scope="session")
def rights(running_cluster: Cluster) -> None:
    """Let the cluster know definitions and the agent's service account."""
    give_rights(running_cluster)


@pytest.fixture
def home(cluster: Cluster, rights: None) -> Iterator[Home]:  # noqa: ARG001 - it is there for what it did
    """Lend the running node with metacni on it; what pods leave behind when they go fails the test."""
    lent = Home(cluster)
    lent.start()
    yield lent
    lent.empty()
