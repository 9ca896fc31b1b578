# SPDX-License-Identifier: Apache-2.0
"""One call of the shim, as a runtime makes it: begun, perhaps killed, and what it answered."""

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the shim left behind."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The result of a successful ADD."""
        assert self.status == 0, f"status {self.status}: {self.stdout}{self.stderr}"
        body: dict[str, Any] = json.loads(self.stdout)
        return body

    @property
    def code(self) -> int:
        """The CNI code of a failure; its message is one line."""
        assert self.status != 0, f"no failure: {self.stdout}"
        body = json.loads(self.stdout)
        assert body["msg"] == " ".join(body["msg"].split()), "a message is one line"
        return int(body["code"])

    @property
    def message(self) -> str:
        """The message of a failure."""
        return str(json.loads(self.stdout)["msg"])


class Call:
    """A call of the shim that runs."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        """Hand stdin over at once; the shim reads it before it does anything else."""
        self.process = process
        self._begin = time.monotonic()
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:  # it reads no more than it takes
            pipe.write(stdin)
        process.stdin = None

    def answer(self, timeout: float = 30) -> Answer:
        """Wait for the end."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        seconds = time.monotonic() - self._begin
        return Answer(status=self.process.returncode, stdout=stdout.decode(), stderr=stderr.decode(), seconds=seconds)
