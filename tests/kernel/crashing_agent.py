# SPDX-License-Identifier: Apache-2.0
"""`metacni agent` with a journal that kills the whole process beside one of its own writes.

Called as `crashing_agent.py POINT agent …`: POINT is `before <write>` or `after <write>`, or `none`; each point that is
passed is appended to the file that METACNI_POINTS names. All else is the real composition of metacni/cli/agent.py.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metacni.agent import log, settings
from metacni.cli import agent
from metacni.cli.main import parser
from metacni.cni.names import ContainerId
from metacni.journal.journal import Journal, Record, SandboxIdentity

POINT, POINTS = sys.argv[1], Path(os.environ["METACNI_POINTS"])


def reach(point: str) -> None:
    """Note a point, and die there if it is the one."""
    with POINTS.open("a") as file:
        file.write(point + "\n")
    if point == POINT:
        os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()  # the signal is for the whole process; this thread must not get any further


@contextmanager
def write(name: str) -> Iterator[None]:
    """The two points beside a write."""
    reach(f"before {name}")
    yield
    reach(f"after {name}")


class CrashingRecord(Record):
    """A record whose writes are points."""

    def step(self, attachment: int, plugin: int, result: bytes) -> None:
        """Two points."""
        with write(f"step {attachment} {plugin}"):
            super().step(attachment, plugin, result)

    def finish(self, answer: bytes) -> None:
        """Two points."""
        with write("finish"):
            super().finish(answer)

    def publish(self, status: bytes) -> None:
        """Two points."""
        with write("publish"):
            super().publish(status)

    def published(self, status: bytes | None = None) -> None:
        """Two points."""
        with write("published"):
            super().published(status)

    def remove(self) -> None:
        """Two points."""
        with write("remove"):
            super().remove()


class CrashingJournal(Journal):
    """A journal whose writes are points."""

    def begin(self, container_id: ContainerId, plan: bytes, *, sandbox: SandboxIdentity, durable: bool) -> Record:
        """Two points."""
        with write("begin"):
            return super().begin(container_id, plan, sandbox=sandbox, durable=durable)

    def _record(self, container_id: ContainerId) -> Record:
        plain = super()._record(container_id)
        return CrashingRecord(container_id, parent=plain._parent, path=plain.path, lock=plain._lock)


def main() -> int:
    """Serve like any agent, until the point."""
    options = parser().parse_args(sys.argv[2:])
    chosen = settings.load(options.config)
    log.configure(chosen.log_level)
    return agent.assemble(options, chosen, CrashingJournal(options.state_dir))


if __name__ == "__main__":
    sys.exit(main())
