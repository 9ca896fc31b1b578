# SPDX-License-Identifier: Apache-2.0
"""The node that cluster tests share: one for each containerd, one at a time, emptied after every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.agents import FORMS
from tests.cluster.cluster import RUNTIMES, Cluster
from tests.cluster.home import Home, give_rights

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.addinivalue_line("markers", "form(name): the test is about an agent of this form only")
    config.addinivalue_line("markers", "settings(**keys): what the agent of `home` is told")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would cost minutes and tell nothing: the agent as a pod is the same for either containerd."""
    chosen = [item for item in items if _makes_sense(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _makes_sense(item)])
    items[:] = chosen


def _makes_sense(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    form = parameters.params.get("home") if parameters else None
    mark = item.get_closest_marker("form")
    wanted = mark is None or form in (None, mark.args[0])
    return wanted and (form, parameters.params.get("running_cluster") if parameters else "") != (
        "pod",
        "containerd-1.6",
    )


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


@pytest.fixture(params=list(FORMS))
def home(cluster: Cluster, rights: None, request: pytest.FixtureRequest) -> Iterator[Home]:  # noqa: ARG001 - for its effect
    """Lend the running node with metacni on it; what pods leave behind when they go fails the test."""
    lent = Home(cluster, request.param)
    settings = request.node.get_closest_marker("settings")
    lent.start(**(settings.kwargs if settings else {}))
    yield lent
    lent.empty()
