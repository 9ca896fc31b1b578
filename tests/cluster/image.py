# SPDX-License-Identifier: Apache-2.0
"""The container image of every test pod: Debian's static busybox, written as an archive that containerd imports.

There is no registry and no image builder in the test bed, and none is needed: an archive is three files.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

IMAGE = "metacni.test/busybox:1"
BUSYBOX = Path("/bin/busybox")
FOLDERS = ("bin", "tmp", "etc", "proc", "sys", "dev")
COMMANDS = ("sh", "sleep", "ip", "ping", "cat", "ls", "wget", "nc", "httpd", "echo", "grep", "arping", "ifconfig")
# A sandbox, too, runs this: it ends at once when it is told to, or every deletion would wait for its grace period.
SLEEP = ["/bin/sh", "-c", "trap exit TERM INT; while :; do sleep 3600 & wait $!; done"]


def write_image(archive: Path) -> None:
    """Write the image as a Docker archive."""
    layer = _layer()
    config = _json(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": {"Cmd": SLEEP, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    )
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = _json([{"Config": config_name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}])
    with tarfile.open(archive, "w") as tar:
        for name, body in ((config_name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            _add(tar, name, body)


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        _add(tar, "bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
        for name in COMMANDS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, body: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(body), mode
    tar.addfile(entry, io.BytesIO(body))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
