# SPDX-License-Identifier: Apache-2.0
"""A CNI plugin that does what its configuration says, for what no real plugin does on demand.

Keys: `log` (every call is appended there, one JSON object a line), `fail` (ADD answers this error), `hold` (ADD makes
the file `<hold>.reached` and waits until `<hold>` exists). It attaches nothing: ADD answers the previous result, or an
empty one. Copied into the node's plugin folder as `scripted`, so it must not import anything of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Serve one call."""
    command = os.environ["CNI_COMMAND"]
    config = json.load(sys.stdin)
    call = {"command": command, "container": os.environ.get("CNI_CONTAINERID", ""), "config": config}
    with Path(config["log"]).open("a") as log:
        log.write(json.dumps(call) + "\n")
    if command != "ADD":
        return 0
    if "hold" in config:
        Path(f"{config['hold']}.reached").touch()
        while not Path(config["hold"]).exists():
            time.sleep(0.02)
    if "fail" in config:
        return _print({"cniVersion": config["cniVersion"], "code": 123, "msg": config["fail"]}) or 1
    return _print(config.get("prevResult") or {"cniVersion": config["cniVersion"]})


def _print(answer: object) -> int:
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
