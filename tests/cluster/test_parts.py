# SPDX-License-Identifier: Apache-2.0
"""The table of real parts does what it is for: a full run that skips, or that misses a part, fails."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.parts import NAMES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = f"@pytest.mark.part(*{sorted(NAMES)!r})\ndef test_all(): pass\n"
COMMAND = (sys.executable, "-m", "pytest", "-p", "tests.parts", "--all-parts", f"--rootdir={ROOT}", "-c")


def full_run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with `--all-parts` over one file of tests."""
    (folder / "test_it.py").write_text(f"import pytest\n{body}")
    command = [*COMMAND, str(ROOT / "pyproject.toml"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(EVERYTHING, 0, "1 tests passed", id="all-met"),
        pytest.param(EVERYTHING.replace("'kubelet', ", ""), 1, "no test passed on 'kubelet'", id="one-unused"),
        pytest.param(EVERYTHING.replace("pass", "assert False"), 1, "no test passed on 'runc'", id="failed"),
        pytest.param(EVERYTHING + "@pytest.mark.skip\ndef test_no(): pass\n", 1, "skipped, which", id="one-skipped"),
        pytest.param(EVERYTHING + "pytest.skip(allow_module_level=True)\n", 5, "skipped, which", id="module-skipped"),
        pytest.param(
            "@pytest.mark.part('kubelett')\ndef test_no(): pass\n", 4, "no such part: kubelett", id="misspelt"
        ),
    ],
)
def test_a_full_run_is_judged_by_its_parts(tmp_path: Path, body: str, status: int, words: str) -> None:
    """Every required part needs a passed test, nothing may be skipped, and a part must exist."""
    done = full_run(tmp_path, body)
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


def test_the_last_line_of_a_full_run_is_pytests_own(tmp_path: Path) -> None:
    """Whoever reads only the last line learns how many tests passed."""
    assert full_run(tmp_path, EVERYTHING).stdout.splitlines()[-1].strip("= ").startswith("1 passed in ")
