# SPDX-License-Identifier: Apache-2.0
"""Kill writers of a journal at random moments and look at what they leave: `kill_writers.py <state folder> <kills>`.

A program of its own, because it forks: the test process may have threads. Prints what it saw, or ends in an error.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NoReturn

from metacni.cni.names import ContainerId
from metacni.journal.journal import Journal, Record, SandboxIdentity

STEPS = tuple(itertools.product(range(2), range(2)))


def sandbox(name: str) -> SandboxIdentity:
    """The identity that belongs to a record of that name."""
    return SandboxIdentity(boot_id=name, netns_path=f"/run/netns/{name}", device=4, inode=len(name))


def text(name: str, what: object) -> bytes:
    """The content that belongs to a file of that record; of some length, to be caught in the middle."""
    return f"{name}/{what}".encode() * 300


def write_for_ever(state: Path, turn: int) -> NoReturn:
    """Take records through their whole life, until killed; every other one stays."""
    journal = Journal(state)
    for number in itertools.count():
        name = f"t{turn}.{number}"
        record = journal.begin(ContainerId(name), text(name, "plan"), sandbox=sandbox(name), durable=False)
        for step in STEPS:
            record.step(*step, text(name, step))
        record.publish(text(name, "status"))
        record.finish(text(name, "answer"))
        record.published()
        if number % 2:
            record.remove()
    raise AssertionError


def check(record: Record, seen: Counter[str]) -> None:
    """Every file of a record is whole, or absent because a later one is, too."""
    name = record.container_id
    assert record.plan == text(name, "plan")
    assert record.sandbox == sandbox(name)
    steps = record.steps()
    assert steps == {step: text(name, step) for step in STEPS[: len(steps)]}
    assert record.unsent() in (None, text(name, "status"))
    assert record.damaged == []
    assert record.answer in (None, text(name, "answer"))
    assert not record.finished or len(steps) == len(STEPS)
    seen["finished" if record.finished else "unfinished"] += 1


def kill_one(state: Path, turn: int, seen: Counter[str]) -> None:
    """Start a writer, kill it after some milliseconds (its start cleans up, so that is hit, too), and look."""
    pid = os.fork()
    if pid == 0:
        write_for_ever(state, turn)
    time.sleep(random.uniform(0.0005, 0.012))  # noqa: S311 - chance, not secrecy
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    seen["kills"] += 1
    seen["leftovers"] += sum(path.name.startswith(".") for path in state.rglob("*"))
    journal = Journal(state)
    assert not any(path.name.startswith(".") for path in state.rglob("*"))
    for container_id in journal.sandboxes():
        record = journal.open(container_id)
        assert record is not None
        check(record, seen)
        if random.random() < 0.9:  # noqa: S311 - the rest is there for the next writer's start to go through
            record.remove()
    journal.close()


def main() -> None:
    """Kill as many as asked for."""
    state, kills = Path(sys.argv[1]), int(sys.argv[2])
    Journal(state).close()
    seen: Counter[str] = Counter()
    for turn in range(kills):
        kill_one(state, turn, seen)
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main()
