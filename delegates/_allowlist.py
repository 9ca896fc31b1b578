# SPDX-License-Identifier: Apache-2.0
"""The node's list of sysctls that networks may set: the reference's file, a regular expression on each line (E56).

The expressions are Go's, and Python's mean almost the same. Where they do not, or could not, the file is refused: a
list that lets through what its author did not mean is worse than none. Must not look at any configuration.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from metacni.cni.errors import CniError, Code, excerpt
from metacni.netns.failures import failing

PATH: Final = Path("/etc/cni/tuning/allowlist.conf")
_MAX: Final = 1 << 20

# one piece of an expression that Go and Python read alike; flags, names and classes such as \pL are not among them
_CLASS: Final = r"\[\^?\]?(?:[^\[\]\\&~|-]|-(?!-)|\\[\\\[\]().*+?{}|^$/_dws-])*\]"
_PIECE: Final = (
    rf"{_CLASS}|\\[\\\[\]().*+?{{}}|^$/_dDwWsSb-]|\(\?:|[^\\\[\]{{}}(]|\((?!\?)|\{{\d{{1,3}}(?:,\d{{0,3}})?\}}"
)
_COMMON: Final = re.compile(rf"(?:{_PIECE})*")
_POSSESSIVE: Final = re.compile(r"(?<!\\)[*+?}][*+]")  # Python reads a second one differently, Go refuses it
_END: Final = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$")


def require(names: Collection[str], path: Path = PATH) -> None:
    """Refuse what the node does not allow; with no such file everything is allowed.

    Args:
        names: sysctls, spelt as in the configuration.
        path: the file.

    Raises:
        CniError: code 7, one is not allowed, or a line cannot be understood; code 5, the file cannot be read.
    """
    lines = _lines(path) if names else None
    if lines is None:
        return
    for name in names:
        if not any(_compiled(line, path).search(name) for line in lines):
            raise CniError(
                Code.CONFIG, f"cannot set sysctl {excerpt(name)!r}: this node does not allow it", f"the list is {path}"
            )


def _lines(path: Path) -> Sequence[str] | None:
    with failing(f"cannot read {str(path)!r}"):
        try:
            with path.open("rb") as file:
                text = file.read(_MAX + 1)
        except FileNotFoundError:
            return None
    try:
        found = text.decode()
    except UnicodeDecodeError:
        found = ""
    if len(text) > _MAX or (text and not found):
        raise CniError(Code.CONFIG, f"cannot read {str(path)!r}: too long, or no text")
    return [line.strip() for line in found.split("\n") if line.strip()]


def _compiled(line: str, path: Path) -> re.Pattern[str]:
    problem = "it has parts that are not supported here"
    if _COMMON.fullmatch(line) and not _POSSESSIVE.search(line):
        try:
            # Go's $ is the very end, Python's also before a line end
            return re.compile(_END.sub(lambda found: found[1] or r"\Z", line), re.ASCII)
        except re.error as error:
            problem = error.msg
    raise CniError(Code.CONFIG, f"cannot use {excerpt(line)!r} in {str(path)!r}: {problem}")
