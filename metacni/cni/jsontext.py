# SPDX-License-Identifier: Apache-2.0
"""JSON in and out without touching what we do not understand.

A delegate's configuration passes through metacni, so keys keep their order and numbers their text (A64):
`1000000000000`, `1.0e12` and `1.10` leave as they came. This module must not know any CNI key, and whatever bytes come
in, nothing but `CniError` goes out. As in Go the last of two equal keys wins; unlike Go a lone surrogate is refused
rather than replaced, because a replaced key or name is another one.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from metacni.cni.errors import CniError, Code, excerpt

MAX_DEPTH: Final = 200  # far below Python's recursion limit, far above any configuration
MAX_DIGITS: Final = 1000  # of one number; converting a decimal takes quadratic time
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Real:
    """A number whose text would not survive Python's float or int; it is compared by that text."""

    text: str

    def __post_init__(self) -> None:
        if not _NUMBER.fullmatch(self.text):  # it is written out raw, so it must be what it claims to be
            raise ValueError(f"not a JSON number: {excerpt(self.text)!r}")

    def __float__(self) -> float:
        return float(self.text)


Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | Real | None


class _RealFoundError(Exception):
    """The C encoder met a Real, which it cannot write."""


def loads(text: bytes | str) -> Json:
    """Decode one JSON value; numbers keep their text."""
    return _loads(text, "JSON")


def loads_unique(text: bytes | str, what: str) -> dict[str, Json]:
    """As `loads_object`, and no key stands twice in an object: Go merges such ones, and here the first would be lost.

    Raises:
        CniError: code 6, as `loads_object`, or a key is repeated.
    """
    body = loads_object(text, what)
    try:
        _UNIQUE.decode(text.decode() if isinstance(text, bytes) else text)
    except ValueError as error:
        raise CniError.decode(what, _cause(error)) from None
    return body


def loads_object(text: bytes | str, what: str) -> dict[str, Json]:
    """Decode one JSON object; `what` names it in the error."""
    value = _loads(text, what)
    if not isinstance(value, dict):
        raise CniError.decode(what, f"it is not a JSON object but {describe(value)}")
    return value


def dumps(value: Json) -> bytes:
    """Encode compactly as UTF-8, keys in their order."""
    try:
        return _encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise CniError(Code.INTERNAL, f"cannot encode JSON: {_cause(error)}") from None


def describe(value: Json, limit: int = 64) -> str:
    """A value as it stands in a message: its JSON text on one line, cut.

    Of an object or a list only its kind: what it holds may be secret, and messages end in logs and Events.
    """
    if isinstance(value, dict | list) and value:
        return "{…}" if isinstance(value, dict) else "[…]"
    try:
        return excerpt(_encode(value), limit)
    except (ValueError, RecursionError):
        return "a value that JSON cannot hold"


def _loads(text: bytes | str, what: str) -> Json:
    try:
        if isinstance(text, bytes):
            text = text.decode()
        elif not text.isascii():
            text.encode()
        value: Json = _DECODER.decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH:
            _check_depth(value)
        if "\\u" in text:
            _encode(value).encode()  # an escaped lone surrogate shows here, not later in a plugin's request
    except (ValueError, RecursionError) as error:
        raise CniError.decode(what, _cause(error)) from None
    return value


def _cause(error: ValueError | RecursionError) -> str:
    """Why it failed, without any of the text: that may hold secrets."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno} column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, UnicodeEncodeError):
        return "a lone surrogate"
    return excerpt(str(error)) if isinstance(error, ValueError) else "nested too deeply"


def _check_depth(value: Json) -> None:
    """Level by level, so that the check itself cannot run out of stack."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
        below: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below


def _decode_whole(text: str) -> int | Real:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(text) if text != "-0" else Real(text)


def _decode_real(text: str) -> float | Real:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    value = float(text)
    return value if repr(value) == text else Real(text)


def _require_unique(pairs: list[tuple[str, object]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"key {key!r} stands there twice")
        seen.add(key)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _default(value: object) -> NoReturn:
    if isinstance(value, Real):
        raise _RealFoundError
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _encode(value: Json) -> str:
    try:
        return _ENCODER.encode(value)
    except _RealFoundError:
        return _write(value)


def _write(value: Json) -> str:
    """What the C encoder does, for the rare value that holds a Real."""
    if isinstance(value, Real):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{_ENCODER.encode(key)}:{_write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    return _ENCODER.encode(value)


_DECODER = json.JSONDecoder(parse_int=_decode_whole, parse_float=_decode_real, parse_constant=_refuse_constant)
_UNIQUE = json.JSONDecoder(object_pairs_hook=_require_unique)
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_default
)
