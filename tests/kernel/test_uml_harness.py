# SPDX-License-Identifier: Apache-2.0
"""The harness of tests/uml from outside: outcomes that come back, and kernels that do not."""

import json
import sys
from pathlib import Path

import pytest

from tests.parts import ROOT
from tests.uml import machine

pytestmark = pytest.mark.part("user-mode-linux")

THREE_TESTS = """
import pytest

def test_passes():
    print("here")

def test_fails():
    assert "said" == "meant"

@pytest.mark.skip(reason="not today")
def test_is_skipped():
    pass
"""


def test_outcomes_come_back(tmp_path: Path) -> None:
    """Each test's own, in the order asked for, and pytest's exit status."""
    (tmp_path / "test_three.py").write_text(THREE_TESTS)
    names = [f"{tmp_path}/test_three.py::test_{name}" for name in ("passes", "fails", "is_skipped")]
    (tmp_path / "tests").write_text(json.dumps(names))
    ran = machine.start(sys.executable, "-m", "tests.uml.inside", str(tmp_path), work=tmp_path, folder=ROOT).wait()
    assert ran.status == 1, ran.console
    reports = [json.loads(line) for line in (tmp_path / "reports").read_text().splitlines()]
    told = [(item["nodeid"].rpartition("_")[2], item["when"], item["outcome"]) for item in reports]
    assert [item for item in told if item[1] == "call" or item[2] == "skipped"] == [
        ("passes", "call", "passed"),
        ("fails", "call", "failed"),
        ("skipped", "setup", "skipped"),
    ]
    assert "'said' == 'meant'" in json.dumps(reports)


def test_a_kernel_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """The status says so, and none of its processes is left."""
    kernel = machine.start("sleep", "1000", work=tmp_path, folder=tmp_path)
    assert kernel.wait(0.5).status == 124
    mine = f"init={tmp_path}/init".encode()
    lines = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert [line for line in lines if mine in line] == []
