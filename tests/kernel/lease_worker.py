# SPDX-License-Identifier: Apache-2.0
"""Processes that lease and give back without end, to be killed at any moment: lease_worker.py FOLDER MODULE.

For each name on stdin one is forked, which is fast, and its number printed. In FOLDER/claims it makes a file for each
address that it was given: when that one is there, the address was given twice. Whoever kills it takes its claims away,
and then deletes its containers, as the runtime would.
"""

import importlib
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any, Final

from delegates.ipam import database
from tests.unit.delegates.calls import serve

SUBNET: Final = "10.1.0.0/27"
AT_ONCE: Final = 3


def config(folder: Path) -> dict[str, Any]:
    """The network."""
    ipam = {"type": "x", "dataDir": str(folder / "data"), "ranges": [[{"subnet": SUBNET}]]}
    return {"cniVersion": "1.1.0", "name": "net", "ipam": ipam}


def call(module: str, verb: str, folder: Path, container: str) -> dict[str, Any]:
    """One operation."""
    delegate = importlib.import_module(module).DELEGATE
    return serve(delegate, verb, config(folder), CNI_CONTAINERID=container)


def claim(folder: Path, address: str, container: str) -> None:
    """Say that an address is ours, and whose, in one step."""
    try:
        (folder / "claims" / address).symlink_to(container)
    except FileExistsError:
        (folder / "twice").write_text(f"{address} {container}")
        raise


def work(name: str, folder: Path, module: str) -> None:
    """Go on until somebody kills us."""
    random.seed(name)
    number, held = 0, list[tuple[str, str]]()
    while True:
        if len(held) < AT_ONCE:
            number += 1
            container = f"{name}-{number}"
            (folder / "containers" / container).touch()
            told = call(module, "ADD", folder, container)["ips"][0]["address"].partition("/")[0]
            claim(folder, told, container)
            held.append((told, container))
        else:
            address, container = held.pop(random.randrange(AT_ONCE))  # noqa: S311 - chance, not secrecy
            (folder / "claims" / address).unlink()
            call(module, "DEL", folder, container)
            (folder / "containers" / container).unlink()
        if random.random() < 0.1:  # noqa: S311 - likewise
            database.close()


def main(folder: Path, module: str) -> None:
    """Fork until there are no more names; this process itself opens no leases, which must not cross a fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                work(line.strip(), folder, module)
            finally:
                os._exit(1)  # it is only ever killed
        print(pid, flush=True)  # noqa: T201 - for whoever kills it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
