# SPDX-License-Identifier: Apache-2.0
"""What a pod asks for, from the three places where it can stand: CNI_ARGS, `args.cni` and `runtimeConfig` (A68, E18).

Must not decide which of several wins: each plugin's rule is its own.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from delegates import _text
from delegates._call import Body
from metacni.cni import keys
from metacni.cni.environment import Environment
from metacni.cni.errors import CniError, Code, excerpt
from metacni.cni.jsontext import Json, describe

KNOWN: Final = frozenset({"IP", "MAC"})
"""What of CNI_ARGS is read by a delegate or by our IPAM."""

_IGNORE: Final = "IgnoreUnknown"
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false", ""})


@dataclass(frozen=True, slots=True)
class Requested:
    """One value and where it stood, weakest place first."""

    text: str
    where: str
    code: Code


def require_known(environment: Environment, known: Collection[str]) -> None:
    """Refuse CNI_ARGS with names (in their exact case, A14) that are not known.

    Raises:
        CniError: code 4, another name, and no IgnoreUnknown (A13).
    """
    pairs = dict(environment.args)
    ignore = pairs.pop(_IGNORE, "").lower()
    if ignore not in _TRUE | _FALSE:
        raise CniError(Code.ENVIRONMENT, f"cannot read CNI_ARGS: {_IGNORE} is {excerpt(ignore)!r}, no boolean")
    foreign = sorted(name for name in pairs if name not in known)
    if foreign and ignore not in _TRUE:
        hint = f"add {_IGNORE}=1 if others are to read them"
        raise CniError(Code.ENVIRONMENT, f"cannot read CNI_ARGS: unknown names {foreign}", hint)


def single(body: Body, environment: Environment, variable: str, key: str) -> list[Requested]:
    """One text, such as a MAC, from wherever it stands."""
    found = [Requested(environment_value(environment, variable), f"{variable} of CNI_ARGS", Code.ENVIRONMENT)]
    found += [Requested(keys.text(part, key), f"{where}.{key}", Code.CONFIG) for where, part in places(body)]
    return [item for item in found if item.text]


def several(body: Body, environment: Environment, variable: str, key: str) -> list[Requested]:
    """A list of texts, such as addresses, from all places together."""
    found = [Requested(environment_value(environment, variable), f"{variable} of CNI_ARGS", Code.ENVIRONMENT)]
    for where, part in places(body):
        found += [Requested(text, f"{where}.{key}", Code.CONFIG) for text in keys.texts(part, key)]
    return [item for item in found if item.text]


def environment_value(environment: Environment, variable: str) -> str:
    """One value of CNI_ARGS, the last when it stands there several times."""
    return dict(environment.args).get(variable, "")


def places(body: Body) -> list[tuple[str, dict[str, Json]]]:
    """The two objects of a configuration that carry requests, by their names."""
    arguments = keys.mapping(body, "args") or {}
    return [
        ("args.cni", keys.mapping(arguments, "cni") or {}),
        ("runtimeConfig", keys.mapping(body, "runtimeConfig") or {}),
    ]


def undeclared(body: Body, known: Collection[str]) -> str | None:
    """A capability that the runtime hands over and that is none of these (lower case), as a reason to decline."""
    given = keys.mapping(body, "runtimeConfig") or {}
    key = _text.unknown(given, known)
    return None if key is None else f"key 'runtimeConfig.{key}' ({describe(given[key])}) is not carried out"
