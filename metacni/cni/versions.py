# SPDX-License-Identifier: Apache-2.0
"""The specification's versions and, as tables, everything that depends on one.

No other module compares or names a version: it asks here. Versions are matched by their exact text, they are compared
as numbers only to find an order (A38).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from metacni.cni.errors import CniError, Code, excerpt

VERSIONS: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")  # in order (A37)
OLDEST: Final = VERSIONS[0]
NEWEST: Final = VERSIONS[-1]
_FORM = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,2}")


class Verb(StrEnum):
    """The operations, by the text of CNI_COMMAND (A2)."""

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    GC = "GC"
    STATUS = "STATUS"
    VERSION = "VERSION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a result of one version can hold."""

    lists: bool  # interfaces and any number of addresses; before that one address per family (A44)
    family: bool  # each address says "4" or "6" (A45, A46)
    tuning: bool  # mtu, socketPath and pciID of interfaces; mtu, advmss, priority, table and scope of routes (A47)
    empty_dns: bool  # `dns` is there even when it says nothing (A48)


_PAIR = Shape(lists=False, family=False, tuning=False, empty_dns=True)
_FAMILY = Shape(lists=True, family=True, tuning=False, empty_dns=True)
_PLAIN = Shape(lists=True, family=False, tuning=False, empty_dns=False)
_TUNED = Shape(lists=True, family=False, tuning=True, empty_dns=False)
_SHAPES: Final = dict(zip(VERSIONS, (_PAIR, _PAIR, _FAMILY, _FAMILY, _FAMILY, _PLAIN, _TUNED), strict=True))

_SINCE: Final = {  # A35: below these a plugin answers with code 1, so they must not be sent
    Verb.ADD: "0.1.0",
    Verb.DEL: "0.1.0",
    Verb.VERSION: "0.1.0",
    Verb.CHECK: "0.4.0",
    Verb.GC: "1.1.0",
    Verb.STATUS: "1.1.0",
}
_PREV_RESULT_ON_DEL: Final = "0.4.0"  # B5


def order(version: str) -> tuple[int, int, int]:
    """The version as numbers, missing ones 0; the empty text is the oldest version (A38)."""
    if not version:
        version = OLDEST
    if not _FORM.fullmatch(version):
        raise CniError(Code.VERSION, f"cannot read CNI version {excerpt(version, 64)!r}: not three numbers and dots")
    major, minor, patch, *_ = (*map(int, version.split(".")), 0, 0)
    return major, minor, patch


def known(version: str) -> str:
    """The version itself if it is one of ours; a configuration that names none has the oldest (A39)."""
    if not version:
        return OLDEST
    if version in _SHAPES:
        return version
    asked = excerpt(version, 64)
    raise CniError(
        Code.VERSION,
        f"cannot use CNI version {asked!r}: it is not supported",
        f"asked for: {asked}; supported: {', '.join(VERSIONS)}",
    )


def has(verb: Verb, version: str) -> bool:
    """Whether a plugin whose configuration has this version can be sent this verb."""
    return order(version) >= order(_SINCE[verb])


def del_has_prev_result(version: str) -> bool:
    """Whether DEL carries the result of the ADD."""
    return order(version) >= order(_PREV_RESULT_ON_DEL)


def shape(version: str) -> Shape:
    """What a result of this version can hold."""
    return _SHAPES[known(version)]


def choose(version: str, versions: Iterable[str]) -> str:
    """The version that a list runs with: the highest it names that is not newer than ours (A43)."""
    named = [text for text in (*versions, version) if text]
    usable = [text for text in named if order(text) <= order(NEWEST)]
    return known(max(usable, key=order) if usable else version)


def reply(asked: str) -> bytes:
    """What VERSION prints: the asked version back, or the newest, and the whole list (A33)."""
    body = {"cniVersion": excerpt(asked) or NEWEST, "supportedVersions": VERSIONS}
    return json.dumps(body, separators=(",", ":")).encode()
