# SPDX-License-Identifier: Apache-2.0
"""The program that a runtime calls: its C sources, its build and the frame format. Here: where the binary is."""

from pathlib import Path


def binary() -> Path:
    """Give the shim that was compiled when metacni was installed."""
    path = Path(__file__).with_name("metacni-shim")
    if not path.is_file():
        raise FileNotFoundError(
            f"cannot find the shim at {str(path)!r}: install metacni again, with a C compiler at hand"
        )
    return path
