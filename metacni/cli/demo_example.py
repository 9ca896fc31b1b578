# SPDX-License-Identifier: Apache-2.0
"""One example of the demo, read and checked before anything is made: it may be the user's own, and half typed.

What is wrong comes out as one line that names file and key. The agent reads the same files; this must not judge what a
definition says, which is the agent's work.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metacni.cli.command import CommandError
from metacni.cni import jsontext
from metacni.cni.errors import CniError
from metacni.cni.jsontext import Json
from metacni.core import nodeconf
from metacni.kube import manifests
from metacni.kube.errors import BadManifest
from metacni.kube.source import PodInfo

CONFLIST, DEFINITIONS, NET_D = "node.conflist", "definitions.yaml", "net.d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What the runtime of the demo's node hands over, and its pods."""

    config: dict[str, Json]
    pods: tuple[PodInfo, ...]


def load(folder: Path) -> Example:
    """Read the example of this folder.

    Raises:
        CommandError: a file of it is missing or cannot be used; the text names file and key.
    """
    for name in (CONFLIST, DEFINITIONS):
        _read(folder, name)  # that both are there is said before either is judged
    return Example(config=_config(folder), pods=_pods(folder))


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        hint = "name one with --examples DIR"
        raise CommandError(f"cannot use the example {str(folder)!r}: it has no {name}; {hint}") from None
    except OSError as cause:
        raise CommandError(f"cannot read {str(folder / name)!r}: {(cause.strerror or str(cause)).lower()}") from cause


def _config(folder: Path) -> dict[str, Json]:
    """The list's first plugin with the list's name and version: what a runtime writes to its stdin."""
    path = folder / CONFLIST
    try:
        body = jsontext.loads_object(_read(folder, CONFLIST), CONFLIST)
        config = _first_plugin(body, path)
        for key in ("name", "cniVersion"):
            if key not in body:
                raise _unusable(path, f"key {key!r} is missing beside 'plugins'")
            config[key] = body[key]
        if (folder / NET_D).is_dir():  # the files that stand on each node's disk
            config["confDir"] = str((folder / NET_D).absolute())
        nodeconf.parse(jsontext.dumps(config))
    except CniError as fault:
        raise _unusable(path, str(fault)) from fault
    return config


def _first_plugin(body: dict[str, Json], path: Path) -> dict[str, Json]:
    if "plugins" not in body:
        raise _unusable(path, "key 'plugins' is missing")
    plugins = body["plugins"]
    if not isinstance(plugins, list) or not plugins or not isinstance(plugins[0], dict):
        raise _unusable(path, "key 'plugins' is not a list whose first item is an object")
    own = plugins[0].get("type")
    if own != nodeconf.OWN_TYPE:
        raise _unusable(
            path, f"key 'type' of the first plugin is {jsontext.describe(own)}, not {jsontext.describe('metacni')}"
        )
    return dict(plugins[0])


def _pods(folder: Path) -> tuple[PodInfo, ...]:
    path = folder / DEFINITIONS
    try:
        pods = manifests.parse(_read(folder, DEFINITIONS), str(path)).pods
    except BadManifest as fault:
        raise CommandError(str(fault)) from fault
    if not pods:
        raise _unusable(path, "it has no object of kind Pod")
    if twice := _first_twice(pod.name for pod in pods):
        raise _unusable(path, f"two pods are called {twice!r}, and the demo tells pods by their name")
    return pods


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _unusable(path: Path, cause: str) -> CommandError:
    return CommandError(f"cannot use {str(path)!r}: {cause}")
