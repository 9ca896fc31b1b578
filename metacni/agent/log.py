# SPDX-License-Identifier: Apache-2.0
"""The agent's log: one JSON object a line on stderr, so that a collector needs no pattern.

It must not hold secrets: no stdin, no environment, no annotation text is ever handed to it.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "msg", …}`, with whatever the call passed in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record; a traceback, where there is one, is a field of it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update({key: value for key, value in record.__dict__.items() if key not in _FIELDS})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines of at least `level` to stderr (or `stream`)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of every retry that we already report
