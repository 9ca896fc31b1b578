# SPDX-License-Identifier: Apache-2.0
"""Lease folders that a disk makes bad: read-only, and full. Mounted in a mount namespace of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Namespace

ROOT = Path(__file__).parents[2]


def host_local(folder: Path, mount: str, verb: str, netns: str = "") -> tuple[int, str, set[str]]:
    """One operation over a folder that is mounted so; code, message, and what stands there then."""
    ipam = {"type": "host-local", "dataDir": str(folder), "ranges": [[{"subnet": "10.1.0.0/24"}]]}
    config = json.dumps({"cniVersion": "1.1.0", "name": "net", "type": "x", "ipam": ipam})
    variables = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CNI_COMMAND": verb, "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0", "CNI_NETNS": netns, "CNI_PATH": "/x",
    }  # fmt: skip
    program = f"{sys.executable} -m delegates.ipam.host_local"
    script = f"set -e; {mount}; {program} || true; echo; ls {folder}/net"
    command = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(command, input=config, env=variables, capture_output=True, text=True, timeout=20, check=True)
    answer, listing = done.stdout.split("\n", 1)
    body: dict[str, Any] = json.loads(answer) if answer else {"code": 0, "msg": ""}
    return body["code"], body["msg"], set(listing.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose network has one lease of the container."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/10.1.0.7").write_text("c1\r\neth0")
    (tmp_path / "net/lock").touch()
    return tmp_path


READ_ONLY = "mount --bind {0} {0} && mount -o remount,ro,bind {0}"


def test_a_lease_that_cannot_be_given_back_is_told(folder: Path) -> None:
    """A real failure of DEL, with code 5 and the folder's name; the lease stands, to be taken away next time."""
    code, msg, left = host_local(folder, READ_ONLY.format(folder), "DEL")
    assert code == 5
    assert msg == f"cannot remove lease '10.1.0.7' in folder '{folder}/net': read-only file system"
    assert "10.1.0.7" in left


def test_an_address_that_cannot_be_written_down_is_not_given(folder: Path, pod: Callable[[], Namespace]) -> None:
    """Code 5, the folder's name and the reason."""
    (folder / "net/10.1.0.7").unlink()
    code, msg, _ = host_local(folder, READ_ONLY.format(folder), "ADD", str(pod().path))
    assert code == 5
    assert msg == f"range set 0: cannot write lease '10.1.0.2' in folder '{folder}/net': read-only file system"


def test_a_full_disk_leaves_no_half_lease(folder: Path, pod: Callable[[], Namespace]) -> None:
    """A file without its owner would block its address for ever."""
    full = f"mount -t tmpfs -o size=8k,nr_inodes=64 none {folder} && mkdir {folder}/net"
    full += f" && head -c 100000 /dev/zero > {folder}/net/filler || true"
    code, msg, left = host_local(folder, full, "ADD", str(pod().path))
    assert code == 5
    assert msg == f"range set 0: cannot write lease '10.1.0.2' in folder '{folder}/net': no space left on device"
    assert left == {"filler", "lock"}
