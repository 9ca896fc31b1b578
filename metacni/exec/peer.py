# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a Unix socket, as the kernel says it.

The socket's mode already keeps others out; this is the second lock, for a folder whose mode somebody changed.
"""

import socket
import struct

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid


def require_root(sock: socket.socket) -> int:
    """Give the peer's process id (0 when it is in no PID namespace of ours), or PermissionError if it is not UID 0."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    if uid != 0:
        raise PermissionError(f"cannot serve process {pid}: it runs as UID {uid}, not 0")
    return int(pid)
