# SPDX-License-Identifier: Apache-2.0
"""A folder of YAML and JSON files as a source: the embedded default, with no cluster.

Files are looked at on use, at most once a second and without a thread. At the start a broken file is an error; later,
when pods depend on us, a broken edit keeps what the file last said and is reported by health() and by one line of the
log. Only regular files count: a link or a pipe in a folder that others can write to must not make root read something
else, or wait.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from metacni.kube import manifests
from metacni.kube.errors import BadManifest
from metacni.kube.source import Health, NetworkDefinition, PodInfo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOOK_SECONDS = 1.0
FILE_LIMIT = 4 << 20
_ENDINGS = (".yaml", ".yml", ".json")
_Signature = tuple[int, int, int]
_Kept = TypeVar("_Kept", NetworkDefinition, PodInfo)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file as last read: what it said when it was last good, and what is wrong with it since."""

    signature: _Signature
    manifest: manifests.Manifest
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """What all files say together."""

    definitions: dict[tuple[str, str], NetworkDefinition] = field(default_factory=dict)
    pods: dict[tuple[str, str], PodInfo] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class DirectorySource:
    """A Source over the files of one folder (not of those below it)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self._snapshot = _Snapshot()
        self._looked = 0.0
        self._good = time.monotonic()
        self._started = False
        self._told: dict[str, tuple[str, _Signature]] = {}

    def start(self) -> None:
        """Read every file; BadManifest if one cannot be used."""
        with self._lock:
            self._look()
            if self._snapshot.troubles:
                raise BadManifest(self._snapshot.troubles[0])
            self._started = True

    def stop(self) -> None:
        """There is nothing to end."""

    def definition(self, namespace: str, name: str) -> NetworkDefinition | None:
        """Return the definition as the files say it now."""
        return self._current().definitions.get((namespace, name))

    def pod(self, namespace: str, name: str) -> PodInfo | None:
        """Return the pod as the files say it now."""
        return self._current().pods.get((namespace, name))

    def pod_live(self, namespace: str, name: str) -> PodInfo | None:
        """Return the same as `pod`: there is nobody else to ask."""
        return self.pod(namespace, name)

    def health(self) -> Health:
        """Say which files are broken or ignored."""
        current = self._current()
        return Health(
            synced=self._started,
            age_seconds=time.monotonic() - self._good,
            detail="; ".join((*current.troubles, *current.notes)),
        )

    def _current(self) -> _Snapshot:
        """Return the snapshot, renewed if it is a second old; while another thread looks, the old one will do."""
        if time.monotonic() - self._looked >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._snapshot

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            files, notes = self._scan()
        except OSError as cause:
            trouble = f"cannot read folder {str(self._folder)!r}: {_reason(cause)}"
            self._snapshot = _merge(self._files, (), (trouble,))
        else:
            self._good, self._files = self._looked, files
            self._snapshot = _merge(files, notes, ())
        if self._started:  # before that, trouble is an error
            self._report()

    def _report(self) -> None:
        """Log what is broken, once for each change that leaves it so, and once that it is good again."""
        broken = {file.trouble: (name, file.signature) for name, file in self._files.items() if file.trouble}
        now = {}
        for trouble in self._snapshot.troubles:
            name, signature = broken.get(trouble, (trouble, (0, 0, 0)))
            now[name] = (trouble, signature)
            if self._told.get(name) != now[name]:
                log.warning("%s; until it is mended, what it last said stands", trouble)
        for name in self._told.keys() - now.keys():
            trouble, _ = self._told[name]
            log.info("mended: %s", trouble)
        self._told = now

    def _scan(self) -> tuple[dict[str, _File], tuple[str, ...]]:
        """Return every file, read anew where its inode, time or size differ, and notes on what is no file."""
        files: dict[str, _File] = {}
        notes: list[str] = []
        with os.scandir(self._folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.name.startswith(".") or not entry.name.endswith(_ENDINGS):
                    continue
                if not entry.is_file(follow_symlinks=False):
                    notes.append(f"{entry.path}: ignored, it is not a regular file")
                    continue
                known = self._files.get(entry.name)
                files[entry.name] = _unless_known(entry, known)
        return files, tuple(notes)


def _unless_known(entry: os.DirEntry[str], known: _File | None) -> _File:
    signature: _Signature = (0, 0, 0)
    last_good = known.manifest if known else manifests.Manifest()
    try:
        signature = _signature(entry.stat(follow_symlinks=False))
        if known and known.signature == signature:
            return known
        return _File(signature=signature, manifest=manifests.parse(_read(entry.path), entry.path))
    except OSError as cause:
        trouble = f"cannot read {entry.path}: {_reason(cause)}"
    except BadManifest as cause:
        trouble = str(cause)
    return _File(signature=signature, manifest=last_good, trouble=trouble)


def _read(path: str) -> bytes:
    """Read a regular file; what was swapped for a link or a pipe since the scan is refused, not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadManifest(f"cannot read {path}: it is not a regular file")
        text = opened.read(FILE_LIMIT + 1)
    if len(text) > FILE_LIMIT:
        raise BadManifest(f"cannot read {path}: it is longer than {FILE_LIMIT >> 20} MiB")
    return text


def _merge(files: dict[str, _File], notes: tuple[str, ...], troubles: tuple[str, ...]) -> _Snapshot:
    """Put the files together; of two objects of one name the first file's stands, and the other is reported."""
    definitions, twice = _index((name, each) for name, file in files.items() for each in file.manifest.definitions)
    pods, twice_pods = _index((name, each) for name, file in files.items() for each in file.manifest.pods)
    broken = (each.trouble for each in files.values() if each.trouble)
    ignored = (note for each in files.values() for note in each.manifest.notes)
    return _Snapshot(
        definitions=definitions,
        pods=pods,
        troubles=(*troubles, *broken, *twice, *twice_pods),
        notes=(*notes, *ignored),
    )


def _index(found: Iterable[tuple[str, _Kept]]) -> tuple[dict[tuple[str, str], _Kept], list[str]]:
    index: dict[tuple[str, str], _Kept] = {}
    twice: list[str] = []
    for file, kept in found:
        if (kept.namespace, kept.name) in index:
            twice.append(f"cannot use {file}: '{kept.namespace}/{kept.name}' stands twice")
        else:
            index[kept.namespace, kept.name] = kept
    return index, twice


def _signature(status: os.stat_result) -> _Signature:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _reason(cause: OSError) -> str:
    return (cause.strerror or str(cause)).lower()
