# SPDX-License-Identifier: Apache-2.0
"""The kernel's word on who connected."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from metacni.exec.peer import require_root

NOBODY = 65534
CONNECT = """
import os, socket, sys
os.setresuid(*[int(sys.argv[2])] * 3)
sock = socket.socket(socket.AF_UNIX)
sock.connect("\\0" + sys.argv[1])
sock.recv(1)
"""


def test_a_process_of_root_is_served() -> None:
    """Its process id comes back; run without root, this very process is refused."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if os.getuid() == 0:
            assert require_root(ours) == os.getpid()
        else:
            with pytest.raises(PermissionError):
                require_root(ours)


def test_a_process_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whatever the socket's mode let through."""
    user = NOBODY if os.getuid() == 0 else os.getuid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{tmp_path}")  # an abstract name: no folder's mode is in the way
        listener.listen()
        with subprocess.Popen([sys.executable, "-I", "-S", "-c", CONNECT, str(tmp_path), str(user)]) as client:
            with listener.accept()[0] as sock, pytest.raises(PermissionError) as caught:
                require_root(sock)
            assert str(caught.value) == f"cannot serve process {client.pid}: it runs as UID {user}, not 0"
