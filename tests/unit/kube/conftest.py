# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the Kubernetes edge: servers on loopback, ended after each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.kube.fake_api import FakeApi, HangingUp

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Give an empty API server."""
    server = FakeApi()
    yield server
    server.stop()


@pytest.fixture
def outage() -> Iterator[HangingUp]:
    """Give a port behind which no API server answers."""
    server = HangingUp()
    yield server
    server.stop()
