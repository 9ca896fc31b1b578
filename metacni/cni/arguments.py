# SPDX-License-Identifier: Apache-2.0
"""The text of CNI_ARGS: `KEY=VALUE` pairs between semicolons, with no way to escape anything (A13, A15).

Which keys mean something is not decided here; their letter case counts (A14).
"""

from collections.abc import Iterable

from metacni.cni.errors import CniError, Code, excerpt

_PARTS = 2


def parse(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs in their order, repetitions included; the empty text has none."""
    if not text:
        return ()
    return tuple(_pair(piece) for piece in text.split(";"))


def render(pairs: Iterable[tuple[str, str]]) -> str:
    """The text whose pairs these are; what it cannot hold would fail in every Go plugin, so it fails here."""
    return ";".join(_piece(key, value) for key, value in pairs)


def _pair(piece: str) -> tuple[str, str]:
    parts = piece.split("=")
    if len(parts) != _PARTS:
        raise CniError(Code.ENVIRONMENT, f"cannot read CNI_ARGS: {excerpt(piece)!r} is not KEY=VALUE")
    return parts[0], parts[1]


def _piece(key: str, value: str) -> str:
    for part in (key, value):
        if any(char in ";=\0" for char in part):
            hint = "hand it over as runtimeConfig or as args.cni instead"
            raise CniError(
                Code.CONFIG, f"cannot put {excerpt(key)!r} into CNI_ARGS: ';', '=' or NUL in {excerpt(part)!r}", hint
            )
    return f"{key}={value}"
