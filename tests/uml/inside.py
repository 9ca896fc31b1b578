# SPDX-License-Identifier: Apache-2.0
"""What runs inside the other kernel: pytest over the tests that it is told, each report written out at once.

Usage: python -m tests.uml.inside FOLDER, with the list of tests in FOLDER/tests. Must not judge: reports go to
FOLDER/reports, one a line, and the session outside replays them.
"""

import json
import os
import sys
from pathlib import Path
from typing import Final, TextIO

import pytest

INSIDE: Final = "METACNI_INSIDE_UML"


class Reports:
    """A plugin that writes reports so that they outlive a kernel that crashes."""

    def __init__(self, output: TextIO, config: pytest.Config | None = None) -> None:
        """Write to this file."""
        self._output = output
        self._config = config

    def pytest_configure(self, config: pytest.Config) -> None:
        """Learn who turns reports into JSON."""
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        assert self._config is not None
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._output.write(json.dumps(data) + "\n")
        self._output.flush()
        os.fsync(self._output.fileno())  # or it stays in the guest's memory


def main(folder: Path) -> int:
    """Run them in their order; the exit status of pytest."""
    os.environ[INSIDE] = "1"
    tests = json.loads((folder / "tests").read_text())
    with (folder / "reports").open("w") as output:
        options = ["-p", "no:randomly", "--basetemp=/run/tmp/pytest", "--tb=short", "-q"]
        return int(pytest.main([*options, *tests], plugins=[Reports(output)]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
