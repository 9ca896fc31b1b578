# SPDX-License-Identifier: Apache-2.0
"""The log's form."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from metacni.agent import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A configured log that writes here; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    written = io.StringIO()
    log.configure("info", written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_the_fields_of_the_call(stream: io.StringIO) -> None:
    """What `extra` holds stands beside time, level and message."""
    logging.getLogger("metacni.x").warning("cannot %s", "go", extra={"sandbox": "abc", "code": 7})
    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in ("level", "logger", "msg", "sandbox", "code")} == {
        "level": "warning",
        "logger": "metacni.x",
        "msg": "cannot go",
        "sandbox": "abc",
        "code": 7,
    }
    assert line["time"].endswith("+00:00")


def test_a_traceback_stays_on_its_line(stream: io.StringIO) -> None:
    """An unforeseen exception does not break the one-line form."""
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("metacni.x").exception("unforeseen")
    assert stream.getvalue().count("\n") == 1
    assert "ValueError" in json.loads(stream.getvalue())["traceback"]


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    """debug is silent at level info."""
    logging.getLogger("metacni.x").debug("no")
    assert stream.getvalue() == ""
