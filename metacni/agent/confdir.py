# SPDX-License-Identifier: Apache-2.0
"""CNI configuration files of the node: NADs with an empty spec, plugins beside a list, and the runtime's own folder.

The one place of the agent that reads configuration folders; it never writes one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from metacni.cni import config, jsontext, keys
from metacni.cni.config import NetworkList
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json

MAX_FILE = 1 << 20


def network(folder: Path, name: str) -> NetworkList:
    """The configuration of `name`: the first list file of that name, else the first single configuration (C5, A62).

    Raises:
        CniError: code 7, no file of the folder has that name; code 5 or 6, a file on the way cannot be used.
    """
    for endings in ((".conflist",), (".conf", ".json")):
        for path, body in _bodies(folder, endings):
            if body.get("name") == name:
                try:
                    return config.parse(body, siblings(folder, body))
                except CniError as fault:
                    raise fault.within(str(path)) from fault
    raise CniError(
        Code.CONFIG,
        f"cannot find a configuration named {name!r} in {str(folder)!r}",
        "the NetworkAttachmentDefinition has an empty spec, so a file of confDir must hold its configuration",
    )


def siblings(folder: Path, body: Mapping[str, Json]) -> tuple[Mapping[str, Json], ...]:
    """The plugins of `<folder>/<network name>/*.conf`, unless the list wants only its own (A59)."""
    name = keys.text(body, "name")
    if "plugins" not in body or config.only_inlined(body) or not name or "/" in name or name in (".", ".."):
        return ()
    return tuple(found for _, found in _bodies(folder / name, (".conf",)))


def runtime_lists(folder: Path) -> tuple[Mapping[str, Json], ...]:
    """Every readable list of the runtime's folder, in name order; a broken one says nothing about us."""
    found: list[Mapping[str, Json]] = []
    for path in _files(folder, (".conflist", ".conf", ".json")):
        try:
            found.append(_body(path))
        except CniError:
            continue  # the runtime reports its own broken files; they only cannot tell us where we stand
    return tuple(found)


def _bodies(folder: Path, endings: tuple[str, ...]) -> Iterator[tuple[Path, Mapping[str, Json]]]:
    for path in _files(folder, endings):
        yield path, _body(path)


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as cause:
        raise CniError(Code.IO, f"cannot list {str(folder)!r}: {cause.strerror}") from cause


def _body(path: Path) -> Mapping[str, Json]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as cause:
        raise CniError(Code.IO, f"cannot read {str(path)!r}: {cause.strerror}") from cause
    if len(text) > MAX_FILE:
        raise CniError(Code.CONFIG, f"cannot use {str(path)!r}: it is larger than {MAX_FILE} bytes")
    return jsontext.loads_unique(text, str(path))
