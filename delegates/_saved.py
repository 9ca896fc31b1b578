# SPDX-License-Identifier: Apache-2.0
"""What a link was like before it was tuned, kept on disk until it is given back.

The file is the reference's, so that either program restores what the other saved (E56). It is written before the link
is changed, and anew beside the old one, so that a kill leaves one or the other. Whose network it belongs to stands in
it, too, which the reference does not read: garbage collection has to know. The folder is opened once and worked by its
descriptor, and no symbolic link is followed. Must not look at any link.
"""

import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from delegates import _disk, _text
from delegates._call import Attachment
from metacni.cni import jsontext, keys
from metacni.cni.errors import CniError, Code
from metacni.cni.jsontext import Json
from metacni.netns.failures import failing

FOLDER: Final = Path("/run/cni/tuning")

_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocking: somebody may have put a pipe there
_MAX: Final = 4096
_NETWORK: Final = "network"
_SUFFIX: Final = ".json"
_NEW: Final = ".new"
_NUMBER: Final = range(1 << 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Properties of a link; None is one that nobody cares about."""

    mac: str | None = None
    promisc: bool | None = None
    mtu: int | None = None
    allmulti: bool | None = None
    queue: int | None = None


NAMES: Final[Mapping[str, str]] = {
    "mac": "mac",
    "promisc": "promisc",
    "mtu": "mtu",
    "allmulti": "allmulti",
    "queue": "txQLen",
}
"""The fields of a state, and their keys in the file and in the configuration, in the file's order."""


class File:
    """The saved state of one attachment; the folder stays open from `with` to its end."""

    def __init__(self, folder: Path, fd: int, owner: Attachment) -> None:
        """Take over the open folder."""
        self._path = folder
        self._fd = fd
        self._name = _name(owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)

    def read(self) -> bytes | None:
        """What it says, None when there is none."""
        with failing(f"cannot read {self._shown()}"):
            try:
                fd = os.open(self._name, os.O_RDONLY | _FILE, dir_fd=self._fd)
            except FileNotFoundError:
                return None
            try:
                return os.read(fd, _MAX)
            finally:
                os.close(fd)

    def write(self, data: bytes) -> None:
        """Have it say that, and never half of it."""
        new = self._name + _NEW
        with failing(f"cannot write {self._shown()}"):
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE, 0o600, dir_fd=self._fd)
            try:
                _fill(fd, data)
                os.rename(new, self._name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=self._fd)
                raise

    def remove(self) -> None:
        """Have it gone, and what a kill left of writing it."""
        for name in (self._name, self._name + _NEW):
            _remove(self._path, self._fd, name)

    def _shown(self) -> str:
        return f"the saved state {str(self._path / self._name)!r}"


def make(folder: Path, owner: Attachment) -> File:
    """The file of an attachment, its folder made if it is not there.

    Raises:
        CniError: code 5, it cannot be made, or is a symbolic link or no folder.
    """
    with failing(f"cannot make folder {str(folder)!r}"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return File(folder, _disk.folder(folder), owner)


@contextmanager
def existing(folder: Path, owner: Attachment) -> Iterator[File | None]:
    """The file of an attachment, None if there is not even a folder.

    Raises:
        CniError: as `make`.
    """
    try:
        file = File(folder, _disk.folder(folder), owner)
    except FileNotFoundError:
        yield None
        return
    with file:
        yield file


def remove_others(folder: Path, network: str, valid: Collection[Attachment]) -> None:
    """Remove the files of a network whose attachment is not valid any more; those that name no network stay."""
    try:
        fd = _disk.folder(folder)
    except FileNotFoundError:
        return
    kept = {_name(owner) for owner in valid}
    try:
        with failing(f"cannot list folder {str(folder)!r}"):
            names = os.listdir(fd)  # noqa: PTH208 - a descriptor, not a path
        for name in names:
            if name.endswith(_SUFFIX) and name not in kept and _network_of(fd, name) == network:
                _remove(folder, fd, name)
    finally:
        os.close(fd)


def encoded(state: State, network: str) -> bytes:
    """The file's text: the reference's form to the byte, but for the network at its end."""
    values = {key: getattr(state, field) for field, key in NAMES.items()}
    body = {key: value for key, value in values.items() if value is not None} | {_NETWORK: network}
    return json.dumps(body, indent=1).encode()


def decoded(data: bytes) -> State:
    """The state that a file tells.

    Raises:
        CniError: it tells none.
    """
    body = jsontext.loads_object(data, "the saved state")
    mac = keys.text(body, "mac")
    return State(
        mac=_text.mac("mac", mac) if mac else None,
        promisc=_flag(body, "promisc"),
        mtu=_number(body, "mtu") or None,
        allmulti=_flag(body, "allmulti"),
        queue=_number(body, "txQLen"),
    )


def _flag(body: Mapping[str, Json], key: str) -> bool | None:
    return keys.flag(body, key) if keys.find(body, key) is not None else None


def _number(body: Mapping[str, Json], key: str) -> int | None:
    value = keys.integer(body, key)
    if value is not None and value not in _NUMBER:
        raise CniError(Code.CONFIG, f"cannot use {key!r} of the saved state: {value} is out of range")
    return value


def _name(owner: Attachment) -> str:
    return f"{owner.container}_{owner.ifname}{_SUFFIX}"


def _network_of(folder: int, name: str) -> str:
    try:
        fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
    except OSError:
        return ""
    try:
        return keys.text(jsontext.loads_object(os.read(fd, _MAX), "the saved state"), _NETWORK)
    except (OSError, CniError):
        return ""
    finally:
        os.close(fd)


def _fill(fd: int, data: bytes) -> None:
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def _remove(folder: Path, fd: int, name: str) -> None:
    with failing(f"cannot remove the saved state {str(folder / name)!r}", fine=FileNotFoundError):
        os.unlink(name, dir_fd=fd)
