# SPDX-License-Identifier: Apache-2.0
"""One file of YAML or JSON documents, as written for `kubectl apply`, to definitions and pods.

Strict, because a person wrote the file and reads the answer: every complaint names file and line. It must not touch
the file system (the directory source does), so that it can be tested as a function.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from metacni.kube import objects
from metacni.kube.errors import BadManifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metacni.cni.jsontext import Json
    from metacni.kube.source import NetworkDefinition, PodInfo

MAX_DEPTH = 100  # of one document; a definition needs four
DEFAULT_NAMESPACE = "default"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one file holds, and which of its documents are none of ours."""

    definitions: tuple[NetworkDefinition, ...] = ()
    pods: tuple[PodInfo, ...] = ()
    notes: tuple[str, ...] = ()


def parse(text: bytes, file: str) -> Manifest:
    """Return what is in a file called `file`; BadManifest names it and the line."""
    definitions: list[NetworkDefinition] = []
    pods: list[PodInfo] = []
    notes: list[str] = []
    documents = _json(text, file) if file.endswith(".json") else _yaml(text, file)
    for line, document in documents:
        if document is None:  # an empty document: between two `---`, or a file of comments
            continue
        for body in _bodies(document, f"{file}:{line}"):
            kind, where = body.get("kind"), f"{file}:{line}"
            if kind == "NetworkAttachmentDefinition":
                definitions.append(_definition(body, where))
            elif kind == "Pod":
                pods.append(_pod(body, where))
            else:
                notes.append(f"{where}: ignored, kind {kind!r} is not read")
    return Manifest(definitions=tuple(definitions), pods=tuple(pods), notes=tuple(notes))


def _json(text: bytes, file: str) -> Iterator[tuple[int, Json]]:
    try:
        yield 1, json.loads(text)
    except json.JSONDecodeError as cause:
        raise BadManifest(f"cannot parse {file}:{cause.lineno}: {cause.msg.lower()}") from cause
    except (UnicodeDecodeError, RecursionError, ValueError) as cause:
        raise BadManifest(f"cannot parse {file}:1: {_one_line(cause)}") from cause


def _yaml(text: bytes, file: str) -> Iterator[tuple[int, Json]]:
    """Give each document with its first line; the loader is driven by hand because only nodes know their lines."""
    line = 1
    try:
        _check_depth(text.decode(), file)
        loader = _LOADER(text.decode())
        try:
            while loader.check_node():
                node = loader.get_node()
                line = node.start_mark.line + 1
                yield line, loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as cause:
        mark: yaml.Mark | None = cause.problem_mark
        where = mark.line + 1 if mark else line
        raise BadManifest(f"cannot parse {file}:{where}: {_one_line(cause.problem or cause)}") from cause
    except UnicodeDecodeError as cause:
        where = text.count(b"\n", 0, cause.start) + 1
        raise BadManifest(f"cannot parse {file}:{where}: not UTF-8") from cause
    except (yaml.YAMLError, RecursionError, ValueError) as cause:  # ValueError: a date that is none, such as 2026-99-99
        raise BadManifest(f"cannot parse {file}:{line}: {_one_line(cause)}") from cause


def _check_depth(text: str, file: str) -> None:
    """Refuse deep nesting before libyaml's loader recurses over it: it would end the process, not the parse."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise BadManifest(f"cannot parse {file}:{line}: nested too deeply")


def _bodies(document: Json, where: str) -> list[dict[str, Json]]:
    """Return the document, or what is in it if it is a List."""
    if not isinstance(document, dict):
        raise BadManifest(f"cannot use {where}: the document is not a mapping")
    if document.get("kind") != "List":
        return [document]
    items = document.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadManifest(f"cannot use {where}: items of a List must be a list of mappings")
    return [item for item in items if isinstance(item, dict)]


def _definition(body: dict[str, Json], where: str) -> NetworkDefinition:
    _check(body, where, "k8s.cni.cncf.io/v1")
    spec = body.get("spec")
    if spec is not None and not isinstance(spec, dict):
        raise BadManifest(f"cannot use {where}: spec must be a mapping")
    config = spec.get("config") if spec else None
    if config is not None and not isinstance(config, str):  # C2: the schema says string, and an API server would refuse
        raise BadManifest(f"cannot use {where}: spec.config must be text that holds JSON (write `config: |`)")
    found = objects.definition(body)
    if found is None:
        raise BadManifest(f"cannot use {where}: it has no name")
    return found


def _pod(body: dict[str, Json], where: str) -> PodInfo:
    _check(body, where, "v1")
    found = objects.pod(body)
    if found is None:
        raise BadManifest(f"cannot use {where}: it has no name")
    return found


def _check(body: dict[str, Json], where: str, version: str) -> None:
    """Complain about what an API server would refuse, and put the default namespace in."""
    if body.get("apiVersion") != version:
        raise BadManifest(f"cannot use {where}: apiVersion must be {version!r}, not {body.get('apiVersion')!r}")
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        raise BadManifest(f"cannot use {where}: metadata must be a mapping")
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
    name = metadata.get("name")
    if not isinstance(name, str) or not isinstance(namespace, str) or not objects.possible(namespace, name):
        raise BadManifest(f"cannot use {where}: {namespace!r}/{name!r} are no names of a namespace and an object")
    metadata["namespace"] = namespace
    annotations = metadata.get("annotations")
    if annotations is None:
        return
    if not isinstance(annotations, dict):
        raise BadManifest(f"cannot use {where}: annotations must be a mapping")
    for key, value in annotations.items():
        if not isinstance(value, str) or not isinstance(key, str):  # YAML has other keys than text: 1, null
            raise BadManifest(f"cannot use {where}: annotation {key!r} must be text (put it in quotes)")


def _one_line(cause: object) -> str:
    return " ".join(str(cause).split())[:200] or type(cause).__name__
