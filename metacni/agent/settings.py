# SPDX-License-Identifier: Apache-2.0
"""The agent's own settings: one YAML file, checked against the schema that also documents it.

What the runtime hands over on stdin is not read here (core/nodeconf.py): those keys are Multus's, these are ours
(decision 18).
"""

import importlib.resources
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from metacni.agent import mistakes
from metacni.core.merge import ResultMode

SCHEMA = "agent-config.schema.json"


class SettingsError(Exception):
    """The settings cannot be used; the text is one line for the person who wrote them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many requests run at once, and how many more may wait."""

    add: int = 16
    delete: int = 16
    queue: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with the defaults that crds/agent-config.schema.json states."""

    result_mode: ResultMode = "auto"
    cni_conf_dir: Path = Path("/etc/cni/net.d")
    allowed_paths: tuple[str, ...] = ("/var/lib/cni", "/run/cni", "/etc/cni", "/var/log")
    allowed_types: Mapping[str, frozenset[str]] | None = None
    check_tolerates: frozenset[str] = frozenset({"whereabouts"})
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)
    drain_seconds: float = 30.0
    sweep_seconds: float = 300.0
    executor: Literal["auto", "none"] = "auto"
    resident: Literal["auto", "none"] | frozenset[str] = "auto"
    trusted_delegates: frozenset[str] = frozenset()
    sysctl_dir: Path = Path("/proc/sys/net")
    netns_dir: Path = Path("/run/netns")
    host_paths: tuple[str, ...] | None = None
    state_dir: Path = Path("/var/lib/cni/metacni")  # no key of the file: --state-dir


def schema() -> dict[str, Any]:
    """The JSON Schema of the settings, as shipped in crds/."""
    loaded: dict[str, Any] = json.loads(importlib.resources.files("crds").joinpath(SCHEMA).read_text("utf-8"))
    return loaded


def load(path: Path | None) -> Settings:
    """Read the settings file; no file named, all defaults.

    Raises:
        SettingsError: the file cannot be read, is not YAML, or breaks the schema; the key is named.
    """
    if path is None:
        return Settings()
    try:
        body = yaml.safe_load(path.read_text("utf-8"))
    except OSError as cause:
        raise SettingsError(
            f"cannot read the configuration {str(path)!r}: {(cause.strerror or str(cause)).lower()}"
        ) from cause
    except UnicodeDecodeError as cause:
        raise SettingsError(f"cannot read the configuration {str(path)!r}: it is not UTF-8") from cause
    except yaml.YAMLError as cause:
        raise SettingsError(f"cannot read the configuration {str(path)!r}: {mistakes.of_yaml(cause)}") from cause
    return parse({} if body is None else body, str(path))


def parse(body: object, where: str) -> Settings:
    """Turn a decoded settings file into Settings; `where` names the file in errors.

    Raises:
        SettingsError: a key is unknown, has the wrong type or a value that is not allowed.
    """
    found = mistakes.of_values(body, schema())
    if found:
        raise SettingsError(f"cannot use the configuration {where!r}: {found}")
    assert isinstance(body, dict)  # noqa: S101  the schema has just said so
    return Settings(**{_NAMES[key]: _CONVERT.get(key, _same)(value) for key, value in body.items()})


def _same(value: Any) -> Any:
    return value


def _types(value: Mapping[str, list[str]]) -> Mapping[str, frozenset[str]]:
    return {namespace: frozenset(types) for namespace, types in value.items()}


def _resident(value: str | list[str]) -> str | frozenset[str]:
    return value if isinstance(value, str) else frozenset(value)


def _limits(value: Mapping[str, int]) -> Limits:
    return Limits(**value)


_NAMES = {
    "resultMode": "result_mode",
    "cniConfDir": "cni_conf_dir",
    "allowedPaths": "allowed_paths",
    "allowedTypes": "allowed_types",
    "checkTolerates": "check_tolerates",
    "logLevel": "log_level",
    "limits": "limits",
    "drainSeconds": "drain_seconds",
    "sweepSeconds": "sweep_seconds",
    "executor": "executor",
    "resident": "resident",
    "trustedDelegates": "trusted_delegates",
    "sysctlDir": "sysctl_dir",
    "netnsDir": "netns_dir",
    "hostPaths": "host_paths",
}
_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "cniConfDir": Path,
    "allowedPaths": tuple,
    "allowedTypes": _types,
    "checkTolerates": frozenset,
    "limits": _limits,
    "drainSeconds": float,
    "sweepSeconds": float,
    "resident": _resident,
    "trustedDelegates": frozenset,
    "sysctlDir": Path,
    "netnsDir": Path,
    "hostPaths": tuple,
}
