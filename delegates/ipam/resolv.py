# SPDX-License-Identifier: Apache-2.0
"""The resolver settings of a resolv.conf as a result's `dns` (F19). Must not judge them."""

from typing import Final

from metacni.cni.result import Dns
from metacni.netns.failures import failing

_MAX: Final = 1 << 16
_COMMENTS: Final = ("#", ";")
_WORDS: Final = 2


def read(path: str) -> Dns:
    """Of the file at a path; the empty path says nothing.

    Raises:
        CniError: code 5, it cannot be read.
    """
    if not path:
        return Dns()
    with failing(f"cannot read 'resolvConf' {path!r}"), open(path, "rb") as file:  # noqa: PTH123 - bounded
        return parse(file.read(_MAX).decode(errors="replace"))


def parse(text: str) -> Dns:
    """Of a file's text, as glibc's lines go."""
    nameservers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    domain = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) < _WORDS or words[0].startswith(_COMMENTS):
            continue
        match words[0]:
            case "nameserver":
                nameservers.append(words[1])
            case "domain":
                domain = words[1]
            case "search":
                search += words[1:]
            case "options":
                options += words[1:]
    return Dns(nameservers=tuple(nameservers), domain=domain, search=tuple(search), options=tuple(options))
