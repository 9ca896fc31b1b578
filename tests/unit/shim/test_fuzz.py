# SPDX-License-Identifier: Apache-2.0
"""The parser of the program that runs as root on every pod start, against 100,000 damaged frames."""

import re
import subprocess
from pathlib import Path

import pytest

from metacni.shim import build
from tests.unit.shim.host import SANITIZED

COUNT = 100_000
HERE = Path(__file__).parent


@pytest.mark.parametrize("seed", [20250601])
def test_no_frame_breaks_the_parser(tmp_path: Path, seed: int) -> None:
    """Under ASan and UBSan, along the way of a real frame; the seed makes a failure repeatable."""
    program = tmp_path / "fuzz"
    sources = [HERE / "fuzz_frames.c", *(source for source in build.SOURCES if source.name != "main.c")]
    build.compile_shim(program, f"-I{build.HERE}", sources=sources, mode=SANITIZED)
    run = subprocess.run([program, str(seed), str(COUNT)], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    counts = re.fullmatch(r"(\d+) taken, (\d+) refused\n", run.stdout)
    assert counts
    taken, refused = int(counts[1]), int(counts[2])
    assert taken + refused == COUNT
    assert min(taken, refused) > COUNT // 10  # both ways through the parser were really taken
