# SPDX-License-Identifier: Apache-2.0
"""A second kernel as a plain process: Debian's User-Mode Linux over this machine's own files.

It runs one program as root and powers off; up in some two seconds. Files that the program writes are this
machine's, except below /run, which is the guest's own and in memory. Must not change anything on this machine to start.
"""

import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAM: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
MEMORY: Final = 512 << 20
PATIENCE: Final = 1800.0
PASSED_ON: Final = ("PATH", "HOME", "METACNI_CACHE", "LANG")
_NO_STATUS: Final = 124

_INIT: Final = """#!/bin/bash
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/tmp /run/kernel/lib/modules
ln -s {modules}/"$(uname -r)" /run/kernel/lib/modules/
printf '#!/bin/sh\\nexec /sbin/modprobe -d /run/kernel "$@"\\n' > /run/modprobe; chmod +x /run/modprobe
echo /run/modprobe > /proc/sys/kernel/modprobe
/run/modprobe ipv6
ip link set lo up
cd {folder}; export {variables} TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1
{command} </dev/null; echo "$?" > {work}/status; sync
echo o > /proc/sysrq-trigger; sleep 5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What became of the program: its exit status (124: it did not come to an end), and the console."""

    status: int
    console: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One that runs; whoever started it waits for it or ends it."""

    process: subprocess.Popen[bytes]
    work: Path

    def wait(self, seconds: float = PATIENCE) -> Ran:
        """Let it come to its end; after so many seconds kill it."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # told by the status
        finally:
            self.end()
        status = self.work / "status"
        text = status.read_text().strip() if status.is_file() else ""
        console = (self.work / "console").read_text(errors="replace")
        return Ran(status=int(text) if text.isdigit() else _NO_STATUS, console=console)

    def end(self) -> None:
        """Kill what is left of it: its helpers are processes of its session, too."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


def start(*command: str, work: Path, folder: Path) -> Kernel:
    """Start the kernel, which runs the program, powers off, and lets others have the processor first.

    Args:
        command: the program and its arguments.
        work: an empty folder.
        folder: where the program runs.

    Raises:
        OSError: there is no such kernel here.
    """
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    init = work / "init"
    init.write_text(
        _INIT.format(
            modules=MODULES, folder=shlex.quote(str(folder)), work=shlex.quote(str(work)), command=shlex.join(command),
            variables=" ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()),
        )
    )  # fmt: skip
    init.chmod(0o755)
    arguments = (
        f"mem={MEMORY >> 20}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet",
        f"init={init}", f"uml_dir={work}/uml/", "con=null", "con0=fd:0,fd:1",
    )  # fmt: skip
    with (work / "console").open("wb") as output:
        process = subprocess.Popen(
            ["nice", PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
            env=os.environ | _memory_file(work), start_new_session=True,
        )  # fmt: skip
    return Kernel(process=process, work=work)


def _memory_file(work: Path) -> dict[str, str]:
    """Its memory is a file in /dev/shm, which a container may have too small of: then in a folder of ours."""
    shm = Path("/dev/shm")  # noqa: S108 - looked at, not written
    fits = shm.is_dir() and shutil.disk_usage(shm).free > 2 * MEMORY
    return {} if fits else {"TMPDIR": str(work)}
