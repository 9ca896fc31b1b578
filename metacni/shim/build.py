# SPDX-License-Identifier: Apache-2.0
"""Compile the shim: hatchling's build hook, and the one function behind it that tests use with flags of their own.

Sixty lines instead of a second build system, for the whole job is one compiler call. Static, since the binary is copied
to hosts of which nothing is known; `$CC` may be a cross compiler, and its target decides the wheel's tag. It is loaded
by its path, before metacni is installed, so it imports nothing of metacni.
"""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
PARTS = ("main.c", "executor.c", "cgroup.c", "serve.c", "agent.c", "plugin.c", "frame.c")
SOURCES = tuple(HERE / name for name in PARTS)
WARNINGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow", "-Wvla"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wformat=2", "-Wcast-qual", "-Wpointer-arith", "-Wundef"),
)
RELEASE = ("-O2", "-static", "-s", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2")
NEEDS = "the shim needs a C compiler and a static C library (Debian: apt install gcc libc6-dev), or $CC naming one"


def compiler() -> list[str]:
    """Give the compiler's command: `$CC`, as make would read it, else cc."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compile_shim(target: Path, *flags: str, sources: Sequence[Path] = SOURCES, mode: Sequence[str] = RELEASE) -> None:
    """Compile the shim to `target`, or end with one line that says what is missing."""
    made = target.with_name(f".{target.name}.{os.getpid()}")  # renamed into place: the old one may be running
    command = [*compiler(), *WARNINGS, *mode, *flags, "-o", str(made), *map(str, sources)]
    try:
        subprocess.run(command, check=True)
        made.replace(target)
    except (OSError, subprocess.CalledProcessError) as error:
        cause = error.strerror if isinstance(error, OSError) else f"it ended with status {error.returncode}"
        raise SystemExit(f"cannot compile the metacni shim with {command[0]!r}: {cause}; {NEEDS}") from None
    finally:
        made.unlink(missing_ok=True)


def machine() -> str:
    """Give the architecture that the compiler makes programs for, x86_64 or aarch64 for example."""
    target = subprocess.run([*compiler(), "-dumpmachine"], check=True, capture_output=True, text=True).stdout
    return target.partition("-")[0]


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the binary beside this file, for a wheel and for an editable installation alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Compile, and mark the wheel as one for this architecture and any Python."""
        if self.target_name != "wheel":
            return
        compile_shim(HERE / "metacni-shim", f'-DMETACNI_VERSION="{self.metadata.version}"')
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-linux_{machine()}"
