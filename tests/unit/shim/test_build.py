# SPDX-License-Identifier: Apache-2.0
"""The build of the shim: what it makes, and what it says when it cannot."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from metacni.shim import binary, build

ELF_INTERPRETER = 3  # the program header that names a loader


@pytest.fixture
def cc(tmp_path: Path) -> Path:
    """Make a compiler that records its arguments and says it makes programs for another machine."""
    script = tmp_path / "cross-cc"
    script.write_text('#!/bin/sh\necho "$@" > "$0.seen"\n[ "$1" = -dumpmachine ] && echo aarch64-linux-gnu\nexit 0\n')
    script.chmod(0o755)
    return script


def hook(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with `build` imported, as a build front end would: in a process of its own."""
    command = [sys.executable, "-c", f"from pathlib import Path\nfrom metacni.shim import build\n{code}"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_release_is_static_and_small(tmp_path: Path) -> None:
    """It is copied to hosts of which nothing is known: no interpreter to load it, less than a megabyte."""
    build.compile_shim(tmp_path / "shim")
    content = (tmp_path / "shim").read_bytes()
    table, size, count = (*struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54))
    kinds = {struct.unpack_from("<I", content, table + size * i)[0] for i in range(count)}
    assert len(content) < 1_000_000
    assert ELF_INTERPRETER not in kinds
    assert [file.name for file in tmp_path.iterdir()] == ["shim"]


def test_a_running_shim_can_be_replaced(tmp_path: Path) -> None:
    """The new one is renamed into place: no moment with half a file, no "text file busy"."""
    target = tmp_path / "shim"
    target.write_text("#!/bin/sh\nread line\n")
    target.chmod(0o755)
    with subprocess.Popen([target], stdin=subprocess.PIPE) as running:
        build.compile_shim(target)
        running.communicate(b"\n")
    assert target.stat().st_size > 100_000


def test_a_cross_compiler_decides_what_is_made(cc: Path) -> None:
    """$CC may hold arguments, as make reads it."""
    run = hook("print(build.machine(), build.compiler())", CC=f"{cc} ")
    assert run.stdout == f"aarch64 ['{cc}']\n"


@pytest.mark.parametrize(
    ("compiler", "cause"),
    [
        pytest.param("/nowhere/cc", "No such file or directory", id="missing"),
        pytest.param("false", "it ended with status 1", id="fails"),
    ],
)
def test_without_a_compiler_one_line_says_what_to_install(tmp_path: Path, compiler: str, cause: str) -> None:
    """No traceback hides it, and nothing is left behind."""
    run = hook(f"build.compile_shim(Path({str(tmp_path / 'shim')!r}))", CC=compiler)
    assert run.returncode == 1
    assert run.stderr == (
        f"cannot compile the metacni shim with '{compiler}': {cause}; the shim needs a C compiler and a static C "
        "library (Debian: apt install gcc libc6-dev), or $CC naming one\n"
    )
    assert not list(tmp_path.iterdir())


def test_the_binary_is_where_the_build_puts_it() -> None:
    """Or a missing one is told with what to do."""
    place = build.HERE / "metacni-shim"
    if place.exists():
        assert binary() == place
    else:
        with pytest.raises(FileNotFoundError, match="install metacni again, with a C compiler"):
            binary()
