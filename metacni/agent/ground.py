# SPDX-License-Identifier: Apache-2.0
"""What the agent stands on: rights, and folders of the host that a container has only if they are mounted into it.

A right or a mount that is missing shows late, and in odd places: at the first pod that wants a default route, or after
a restart, when namespaces that cannot be seen look as if they were gone. So all of it is looked at before anything
listens, and each lack is named by itself. Only looks: must not change anything, and must not guess a repair.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metacni.agent import mounts
from metacni.agent.settings import Settings

PROC: Final = Path("/proc")

_EVERY_ADD: Final = {
    "SYS_ADMIN": (21, "to enter a pod's network namespace"),
    "NET_ADMIN": (12, "to change links, addresses and routes"),
}
_EXECUTOR: Final = {
    "SYS_CHROOT": (18, "to run plugins without a call in the host's mount namespace"),
    "SYS_PTRACE": (19, "to run plugins without a call in the host's mount namespace"),
}
_ITS_PLUGINS: Final = {"NET_RAW": (13, "for iptables, which plugins without a call may start")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is missing, a line for each."""

    errors: tuple[str, ...] = ()
    """Without these no pod would be attached, or one would be attached wrongly."""

    warnings: tuple[str, ...] = ()


def inspect(chosen: Settings, *, folders: Mapping[str, Path], host_pid: int | None = None, proc: Path = PROC) -> Ground:
    """Look at all of it.

    Args:
        chosen: the settings.
        folders: by what they are to a reader, the folders that the agent writes and that must outlive its container.
        host_pid: whose mount namespace the user wants plugins without a call to run in; 0: the agent's own.
        proc: where the kernel tells of processes.
    """
    contained = in_pod()
    held = _capabilities(proc)
    errors = [*_missing(_EVERY_ADD, held), *_sysctls(chosen.sysctl_dir, proc), *_unwritable(folders)]
    if contained:
        errors += _unmounted(chosen, folders, proc)
    if os.geteuid() != 0:  # a trial: the shim talks to root only, so no pod depends on it
        return Ground(warnings=("this agent is not root: no shim will talk to it",))
    reason = why_no_executor(chosen, host_pid, proc)
    warnings = [f"{reason}; work without a call waits for the runtime"] if reason else []
    if chosen.executor == "auto" and not reason:
        warnings += _missing(_ITS_PLUGINS, held)
    return Ground(errors=tuple(errors), warnings=tuple(warnings))


def why_no_executor(chosen: Settings, host_pid: int | None = None, proc: Path = PROC) -> str:
    """Why plugins without a call cannot run where the host's plugins are; "": they can, or are not to run there."""
    if chosen.executor == "none" or host_pid == 0:
        return ""
    other = proc / str(host_pid or 1)
    if mounts.same_namespace(proc / "self", other):
        inside = "hostPID is missing: process 1 is the container's own, and plugins without a call would run in it"
        return inside if in_pod() else ""
    missing = "; ".join(_missing(_EXECUTOR, _capabilities(proc)))
    closed = f"process {other.name} is closed to the agent: plugins without a call cannot run in its mount namespace"
    return missing or (closed if in_pod() and not _enterable(other) else "")


def _enterable(process: Path) -> bool:
    try:
        (process / "ns" / "mnt").stat()
    except OSError:
        return False
    return True


def visible(chosen: Settings, proc: Path = PROC) -> Callable[[str], bool]:
    """Whether a path of the host is the same file here (decision 5)."""
    if chosen.host_paths is not None:
        shown = chosen.host_paths
        return lambda path: any(mounts.below(path, folder) for folder in shown)
    everything = at_home(proc)
    return lambda path: everything and mounts.below(path, "/")


def in_pod() -> bool:
    """Whether this is a container: the kubelet says so, or we are the first process of one."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) or os.getpid() == 1


def at_home(proc: Path = PROC) -> bool:
    """Whether the files here are the host's: in a pod process 1 may be the container's own, so there never."""
    return not in_pod() and mounts.same_namespace(proc / "self", proc / "1")


def _capabilities(proc: Path) -> int:
    lines = (proc / "self" / "status").read_text("utf-8").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _missing(wanted: Mapping[str, tuple[int, str]], held: int) -> list[str]:
    return [
        f"capability {name} is missing: it is needed {why}"
        for name, (bit, why) in wanted.items()
        if not held >> bit & 1
    ]


def _sysctls(folder: Path, proc: Path) -> list[str]:
    name = f"sysctlDir {str(folder)!r}"
    probe = folder / "ipv4" / "ip_forward"
    if not probe.exists():
        return [f"{name} does not show the host's /proc/sys/net: mount it there"]
    mount = mounts.under(str(folder.resolve()), mounts.of(proc / "self"))
    if mount is None or mount.kind != "proc":
        return [f"{name} is no part of a proc file system: mount the host's /proc/sys/net there"]
    if not os.access(probe, os.W_OK):
        return [f"{name} cannot be written: mount the host's /proc/sys/net elsewhere, and name that folder here"]
    return []


def _unwritable(folders: Mapping[str, Path]) -> list[str]:
    nearest = {what: _nearest(path.absolute()) for what, path in folders.items()}
    return [  # what is no folder is told by whoever makes folders there
        f"the {what} {str(folders[what])!r} cannot be written"
        for what, found in nearest.items()
        if found.is_dir() and not os.access(found, os.W_OK | os.X_OK)
    ]


def _nearest(path: Path) -> Path:
    """The folder, or the nearest above it in which it will be made."""
    return path if path.exists() or path == path.parent else _nearest(path.parent)


def _unmounted(chosen: Settings, folders: Mapping[str, Path], proc: Path) -> list[str]:
    """What a container must have from the host: whatever lies on its own root is nobody else's, and goes with it."""
    seen = mounts.of(proc / "self")

    def own(path: Path) -> bool:
        mount = mounts.under(str(path.resolve()), seen)
        return mount is None or mount.point == "/"

    found = [f"the {what} {str(path)!r} is not mounted from the host" for what, path in folders.items() if own(path)]
    found += [f"hostPaths {path!r} is not mounted from the host" for path in chosen.host_paths or () if own(Path(path))]
    netns = mounts.under(str(chosen.netns_dir.resolve()), seen)
    if own(chosen.netns_dir) or netns is None:
        found.append(
            f"netnsDir {str(chosen.netns_dir)!r} is not mounted from the host: every pod would look as if it were gone"
        )
    elif not netns.shared:
        found.append(
            f"netnsDir {str(chosen.netns_dir)!r} is mounted without mountPropagation HostToContainer: later pods would "
            "look as if they were gone"
        )
    return found
