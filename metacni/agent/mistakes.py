# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a settings file, in the words of the person who wrote it rather than in those of JSON Schema.

The schema alone decides what is allowed (it is what the documentation is made from); this only words its verdict.
"""

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import yaml

_TYPES = {
    "string": "text",
    "array": "a list",
    "object": "a mapping of keys to values",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_SHOWN = 60  # characters of a value in a message


def of_yaml(fault: yaml.YAMLError) -> str:
    """Line and problem of a text that is no YAML."""
    if isinstance(fault, yaml.MarkedYAMLError) and fault.problem_mark is not None:
        context = f" {fault.context}" if fault.context else ""
        return f"line {fault.problem_mark.line + 1}: {fault.problem}{context}"
    return " ".join(str(fault).split())


def of_values(body: object, schema: Mapping[str, Any]) -> str:
    """The first mistake of a decoded file, as `key: what is wrong`; empty when there is none."""
    for where, key in _odd_keys(body, ""):
        return f"{where}key {_written(key)} is {_kind(key)}, and a key must be text (put it in quotes)"
    for key, value in _no_numbers(body):
        return f"key {key!r}: {value} is no number"
    faults = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(body), key=lambda each: list(map(str, each.path))
    )
    return _in_words(faults[0]) if faults else ""


def _odd_keys(body: object, where: str) -> Iterator[tuple[str, object]]:
    """Keys that YAML made something else of than text, at any depth."""
    if isinstance(body, dict):
        for key, value in body.items():
            if not isinstance(key, str):
                yield where, key
            yield from _odd_keys(value, f"{key}: ")


def _no_numbers(body: object) -> Iterator[tuple[str, float]]:
    """What YAML takes for a number and no limit of a schema catches: .nan and .inf."""
    for key, value in body.items() if isinstance(body, dict) else ():
        if isinstance(value, float) and not math.isfinite(value):
            yield key, value


def _in_words(fault: jsonschema.ValidationError) -> str:
    told: Any = _inside(fault)  # its fields are typed for every draft of JSON Schema at once
    key = told.json_path.removeprefix("$").removeprefix(".")
    what = f"key {key!r}: " if key else ""
    if told.validator == "additionalProperties":
        return what + _unknown(told.instance, told.schema["properties"])
    if told.validator == "type" and not key:
        return f"the whole file is {_kind(told.instance)}, and must be {_TYPES[told.validator_value]}"
    phrase = _PHRASES.get(told.validator)
    return what + (phrase(told.instance, told.validator_value) if phrase else told.message)


def _inside(fault: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Of several alternatives the one that was meant: that which is wrong only further in. Where none is, the fault."""
    meant = [each for each in fault.context or () if each.relative_path]
    return meant[0] if meant else fault


def _unknown(value: Mapping[str, object], known: Mapping[str, object]) -> str:
    odd = next(name for name in value if name not in known)
    by_case = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(odd.casefold(), by_case, n=1)
    guess = f" (did you mean {by_case[near[0]]!r}?)" if near else ""
    return f"there is no key {odd!r}{guess}; the keys are {', '.join(known)}"


def _wrong_type(value: object, wanted: str) -> str:
    kind = "it is empty" if value is None else f"{_written(value)} is {_kind(value)}"
    return f"{kind}, and must be {_TYPES[wanted]}{_yaml_hint(value)}"


def _no_alternative(value: object, wanted: Sequence[Mapping[str, Any]]) -> str:
    """Neither a word nor of a type that would do as well."""
    words = ", ".join(word for each in wanted for word in each.get("enum", ()))
    types = " or ".join(_TYPES[each["type"]] for each in wanted if "type" in each)
    if value is None:
        return f"it is empty, and must be one of {words}, or {types}"
    return f"{_written(value)} is not one of {words}, and no {types.removeprefix('a ')}{_yaml_hint(value)}"


def _kind(value: object) -> str:
    """What YAML took it for."""
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", list: "a list", dict: "a mapping of keys to values", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


def _written(value: object) -> str:
    """The value as one would write it in YAML."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _yaml_hint(value: object) -> str:
    return " (to YAML, yes, no, on and off without quotes are true and false)" if isinstance(value, bool) else ""


_PHRASES: Mapping[str, Callable[[Any, Any], str]] = {
    "type": _wrong_type,
    "enum": lambda value, wanted: f"{_written(value)} is not one of {', '.join(wanted)}{_yaml_hint(value)}",
    "oneOf": _no_alternative,
    "minimum": lambda value, wanted: f"{_written(value)} is less than {wanted}",
    "maximum": lambda value, wanted: f"{_written(value)} is more than {wanted}",
    "minLength": lambda _value, _wanted: "it is empty",
    "pattern": lambda value, _wanted: f"{_written(value)} is not an absolute path",  # all our patterns say that
}
