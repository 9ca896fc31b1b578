# SPDX-License-Identifier: Apache-2.0
"""docs/by-hand.md, typed from top to bottom as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts

PAGE = parts.ROOT / "docs" / "by-hand.md"
BEGIN = "mount -t tmpfs none /var/lib\nmkdir /var/lib/cni\n"  # nothing is made on the machine, not even this folder
END = "\nkill $!\nwait $!\n"


@pytest.mark.part("cnitool")
def test_the_page_does_what_it_says() -> None:
    """Every command succeeds; ADD attaches three networks twice, and each DEL takes all of them away."""
    typed = "\n".join(re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    path = f"{Path(sys.executable).parent}:{parts.CNITOOL.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-euo",
            "pipefail",
            "-c",
            BEGIN + typed + END,
        ],
        cwd=parts.ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert re.findall(r'"address": ?"([\d.]+)/24"', shown) == [
        *("10.88.0.2", "10.10.0.2", "10.20.0.2"),
        *("10.88.0.3", "10.10.0.3", "10.20.0.3"),
    ]
    assert re.findall(r"^(\w+)@?\S* +(?:UP|DOWN|UNKNOWN)", shown, re.MULTILINE) == [
        *("lo", "eth0", "net1", "net2"),
        *("lo", "lo"),  # after the shim's DEL, and after cnitool's
    ]
    assert '"supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]' in shown
    assert "plan\n" in shown
    assert shown.count('"msg": "DEL done"') == 2
