# SPDX-License-Identifier: Apache-2.0
"""The one error type that reaches a runtime, and how a failed plugin's output becomes one.

Everything that goes wrong ends as a `CniError`, because `{code, msg, details}` is all the caller can read. This module
must not decide what a failure means: a delegate's code is passed on as it came, known or not (A21, A22).
"""

import json
import re
from collections.abc import Sequence
from enum import IntEnum
from signal import Signals
from typing import Self

EXCERPT = 256  # characters of foreign text in a message of ours
_MAX_CODE = 2**32 - 1  # Go reads the code into an unsigned integer
_FALSE_SUCCESS = (
    (re.compile(r"not\s+found", re.IGNORECASE), "missing"),
    (re.compile(r"no\s+such\s+file\s+or\s+directory", re.IGNORECASE), "path does not exist"),
)


class Code(IntEnum):
    """The codes of the specification, and those that only the Go library has (A20, A21)."""

    UNKNOWN = 0
    VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    ENVIRONMENT = 4
    IO = 5
    DECODE = 6
    CONFIG = 7
    NETNS = 8
    TRY_AGAIN = 11
    NOT_AVAILABLE = 50
    NOT_AVAILABLE_EXISTING = 51
    INTERNAL = 999


class CniError(Exception):
    """A failure as the runtime will see it: `msg` is one line, `details` the hint."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(code, msg, details)
        self.code = int(code)
        self.msg = msg
        self.details = details

    def __str__(self) -> str:
        return self.msg

    def within(self, where: str) -> Self:
        """The same failure, told from one level up: type and code stay, since callers decide by them (A22)."""
        told = type(self).__new__(type(self))  # a subclass may have a constructor of its own
        CniError.__init__(told, self.code, f"{where}: {self.msg}", self.details)
        return told

    def defused(self) -> "CniError":
        """The same failure in words that no runtime takes for success on DEL (G15)."""
        return CniError(self.code, defuse(self.msg), defuse(self.details))

    def to_json(self, version: str) -> bytes:
        """The object for stdout (A18); ASCII only, so that no text whatever can make it fail."""
        body: dict[str, str | int] = {"cniVersion": version, "code": self.code, "msg": self.msg}
        if self.details:
            body["details"] = self.details
        return json.dumps(body, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, what: str, cause: str) -> Self:
        """The common case: something that was handed to us is not what it should be."""
        return cls(Code.DECODE, f"cannot decode {what}: {cause}")


def excerpt(text: str | bytes, limit: int = EXCERPT) -> str:
    """Foreign text for a message: one printable line, at most `limit` characters.

    It is cut in the middle: the start says what it is, the end usually what went wrong.
    """
    edge = 4 * limit  # of ten megabytes only the ends are looked at
    if isinstance(text, bytes):
        text = (text if len(text) <= 2 * edge else text[:edge] + b" " + text[-edge:]).decode(errors="replace")
    elif len(text) > 2 * edge:
        text = f"{text[:edge]} {text[-edge:]}"
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    if len(line) <= limit:
        return line
    head = (limit - 3) // 2
    return f"{line[:head]} … {line[head + 3 - limit :]}"


def defuse(text: str) -> str:
    """Reword the two phrases that containerd takes for success on DEL, in any case and over line ends (B41, G15)."""
    for phrase, replacement in _FALSE_SUCCESS:
        text = phrase.sub(replacement, text)
    return text


def combined(failures: Sequence[CniError]) -> CniError:
    """Several failures as one line, with the first one's code (B40); worded so that no runtime takes it for success."""
    hints = dict.fromkeys(one.details for one in failures if one.details)
    return CniError(failures[0].code, "; ".join(one.msg for one in failures), "; ".join(hints)).defused()


def from_output(status: int, stdout: bytes, stderr: bytes) -> CniError:
    """What a failed plugin said, as an error; `status` is its exit code, or minus the signal that ended it (B11)."""
    spoken = _spoken(stdout)
    if spoken is not None:
        return spoken
    end = _ending(status)
    said, complaint = excerpt(stdout), excerpt(stderr)
    if said:
        return CniError(Code.INTERNAL, f"{end} and printed no error object but {said!r}", complaint)
    if complaint:  # A19: then stderr is all there is
        return CniError(Code.INTERNAL, f"{end}: {complaint}")
    return CniError(Code.INTERNAL, f"{end} and said nothing")


def _spoken(stdout: bytes) -> CniError | None:
    """The error object on stdout, if there is one that says something; `cniVersion` is not needed (A18)."""
    try:
        body = json.loads(stdout.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    field = {key.lower(): value for key, value in body.items()}
    code, msg, details = field.get("code"), field.get("msg"), field.get("details")
    if type(code) is not int or not 0 <= code <= _MAX_CODE:
        code = Code.INTERNAL
    said, hint = (excerpt(text) if isinstance(text, str) else "" for text in (msg, details))
    if not said and not hint and "code" not in field:
        return None
    return CniError(code, said or hint or f"failed with code {code} and no message", hint if said else "")


def _ending(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"died of {Signals(-status).name}"
    except ValueError:  # a real-time signal has no name
        return f"died of signal {-status}"
