# SPDX-License-Identifier: Apache-2.0
"""A CNI plugin that does what its configuration tells it to do, above all what no plugin should.

`script` maps a verb to a behaviour (a function `do_*` below); `record` names a file that gets one JSON line a call;
`seconds` is for `slow`. It makes no interface and imports nothing of ours: it is somebody else's program.
"""

import json
import os
import signal
import sys
import time

FOREVER = 600  # seconds: the tests are long over by then


def record(path: str, stdin: str) -> None:
    """Append what this call was given, in one write, so that calls at the same time stay apart."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("CNI_")}
    line = json.dumps({"pid": os.getpid(), "env": variables, "stdin": json.loads(stdin)}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def result(config: dict[str, object]) -> str:
    """What a well-behaved ADD prints: the result so far, or one interface with no address."""
    made = {"name": os.environ.get("CNI_IFNAME", ""), "sandbox": os.environ.get("CNI_NETNS", "")}
    return json.dumps(config.get("prevResult") or {"cniVersion": config["cniVersion"], "interfaces": [made]})


def answer(config: dict[str, object]) -> None:
    """Print what belongs to the verb."""
    if os.environ["CNI_COMMAND"] == "ADD":
        sys.stdout.write(result(config))


def do_well(config: dict[str, object]) -> int:
    """Behave."""
    answer(config)
    return 0


def do_slow(config: dict[str, object]) -> int:
    """Behave, later."""
    time.sleep(float(str(config["seconds"])))
    return do_well(config)


def do_fail(_: dict[str, object]) -> int:
    """Fail as the specification has it."""
    sys.stdout.write(json.dumps({"code": 105, "msg": "it was told to fail", "details": "by its script"}))
    return 1


def do_unavailable(_: dict[str, object]) -> int:
    """Say that no ADD can be served now."""
    sys.stdout.write(json.dumps({"cniVersion": "1.1.0", "code": 50, "msg": "no address is left"}))
    return 1


def do_nothing(_: dict[str, object]) -> int:
    """Print no result and call it a success."""
    return 0


def do_prose(_: dict[str, object]) -> int:
    """Print something for people."""
    sys.stdout.write("all is well,\nand there is nothing to worry about")
    return 0


def do_flood(_: dict[str, object]) -> int:
    """Print 10 MB."""
    sys.stdout.write("x" * 10_000_000)
    return 0


def do_crash(_: dict[str, object]) -> int:
    """Die by a signal."""
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def do_hang(_: dict[str, object]) -> int:
    """Never end, and leave a grandchild with all pipes open, too."""
    os.fork()
    time.sleep(FOREVER)
    return 0


def do_hang_while(config: dict[str, object]) -> int:
    """Hang while the file `flag` is there, behave afterwards."""
    return do_hang(config) if os.path.exists(str(config["flag"])) else do_well(config)  # noqa: PTH110  fast to import


def do_orphan(config: dict[str, object]) -> int:
    """Behave, but leave a grandchild behind that holds the pipes for two seconds and writes nothing."""
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
    return do_well(config)


def main() -> int:
    """Record the call, then do as told."""
    stdin = sys.stdin.read()
    config = json.loads(stdin)
    if config.get("record"):
        record(config["record"], stdin)
    behaviour = config.get("script", {}).get(os.environ["CNI_COMMAND"], "well")
    status: int = globals()[f"do_{behaviour}"](config)
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
