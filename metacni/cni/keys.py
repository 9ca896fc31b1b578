# SPDX-License-Identifier: Apache-2.0
"""Keys of JSON objects as Go's decoder finds them and with the types it insists on.

Configurations in use say `"Bridge"` or `"ISGATEWAY"`, because Go takes any letter case (A65), and it takes neither
`"true"` for true nor `"1500"` for 1500 (A66). Of several spellings Go takes the last, we the exact one: so a network
with two of one key is left to a program (core/owner.py). List-level keys are exact only and are not read through this
module. A key whose value is null counts as absent, as it does in Go.
"""

from collections.abc import Mapping

from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json, describe

_MAX_INTEGER = 2**63  # Go's int: what is larger fails there too


def find(body: Mapping[str, Json], key: str) -> Json:
    """The value under `key`, exact spelling first, then any letter case (the last one wins); None if absent."""
    if key in body:
        return body[key]
    found = spellings(body, key)
    return body[found[-1]] if found else None


def spellings(body: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """Every key that Go could take for `key`, in order: what a guard has to look at, since a plugin may take any."""
    length = len(key)  # Go folds letter by letter: "ß" is not "ss"
    candidates = [name for name in body if len(name) == length]
    if not candidates:
        return ()
    folded = key.casefold()
    return tuple(name for name in candidates if name.casefold() == folded)


def text(body: Mapping[str, Json], key: str, default: str = "") -> str:
    """A string."""
    value = find(body, key)
    if value is None:
        return default
    if isinstance(value, str):
        return value
    raise _wrong(key, value, "a string")


def flag(body: Mapping[str, Json], key: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002 - like text()
    """A boolean."""
    value = find(body, key)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise _wrong(key, value, "a boolean")


def integer(body: Mapping[str, Json], key: str) -> int | None:
    """A whole number that Go's int can hold, written without point or exponent."""
    value = find(body, key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and -_MAX_INTEGER <= value < _MAX_INTEGER:
        return value
    raise _wrong(key, value, "a whole number")


def texts(body: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """A list of strings."""
    value = find(body, key)
    if value is None:
        return ()
    if isinstance(value, list):
        strings = tuple(item for item in value if isinstance(item, str))
        if len(strings) == len(value):
            return strings
    raise _wrong(key, value, "a list of strings")


def mapping(body: Mapping[str, Json], key: str) -> dict[str, Json] | None:
    """An object."""
    value = find(body, key)
    if value is None or isinstance(value, dict):
        return value
    raise _wrong(key, value, "an object")


def items(body: Mapping[str, Json], key: str) -> list[Json] | None:
    """A list of anything."""
    value = find(body, key)
    if value is None or isinstance(value, list):
        return value
    raise _wrong(key, value, "a list")


def _wrong(key: str, value: Json, wanted: str) -> CniError:
    return CniError.decode(f"key {key!r}", f"{describe(value)} is not {wanted}")
