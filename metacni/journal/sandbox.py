# SPDX-License-Identifier: Apache-2.0
"""Which pod sandbox a record belongs to, and whether that sandbox still stands.

A container ID alone does not tell: the node may have rebooted since, and kind keeps the boot id over a restart of its
"node". So the network namespace itself is remembered, by path, device and inode (decision 10). Must not decide what
follows from it.
"""

import json
import os
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Self

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OWN_NAMESPACE = Path("/proc/self/ns/net")  # on the one filesystem that all namespaces are files of


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxIdentity:
    """The boot and the network namespace in which a sandbox was set up."""

    boot_id: str
    netns_path: str
    device: int
    inode: int

    def to_json(self) -> bytes:
        """As the journal keeps it."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Back from `to_json`. Raises ValueError or TypeError when it is something else."""
        identity = cls(**json.loads(text))
        if not all(
            isinstance(value, kind) for value, kind in zip(astuple(identity), (str, str, int, int), strict=True)
        ):
            raise TypeError("a field is of the wrong type")
        return identity


def boot_id(path: Path = BOOT_ID) -> str:
    """The id of the running boot."""
    return path.read_text(encoding="ascii").strip()


def alive(identity: SandboxIdentity, *, boot_id_path: Path = BOOT_ID) -> bool:
    """Whether the sandbox still stands: same boot, and the same namespace at the same path.

    Raises:
        OSError: the path could not be looked at (say, no permission). That is no sign of death: what an unseen sandbox
            holds must not be released.
    """
    if boot_id(boot_id_path) != identity.boot_id:
        return False
    try:
        found = os.stat(identity.netns_path)  # noqa: PTH116 - a Path would turn "" into "."
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (found.st_dev, found.st_ino) == (identity.device, identity.inode)


def gone(identity: SandboxIdentity, *, boot_id_path: Path = BOOT_ID) -> bool:
    """Whether the sandbox is proven to have gone, which is more than not being seen to be alive.

    An agent in a container may see an empty /run/netns, or the plain files on which namespaces are mounted outside: to
    take that for death would cut off every pod of the node.

    Raises:
        OSError: as for `alive`.
    """
    if boot_id(boot_id_path) != identity.boot_id:
        return True
    path = Path(identity.netns_path)
    try:
        found = path.stat()
    except FileNotFoundError:
        return path.parent.is_dir() and any(path.parent.iterdir())
    is_namespace = found.st_dev == OWN_NAMESPACE.stat().st_dev
    return is_namespace and (found.st_dev, found.st_ino) != (identity.device, identity.inode)
