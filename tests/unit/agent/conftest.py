# SPDX-License-Identifier: Apache-2.0
"""One agent of fakes for every test that wants one."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from metacni.journal.journal import Journal
from tests.unit.agent import fakes
from tests.unit.agent.fakes import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An agent around a real journal in a folder of its own."""
    with closing(Journal(tmp_path / "state")) as journal:
        made = fakes.bench(tmp_path, journal)
        yield made
        os.close(made.netns)
