# SPDX-License-Identifier: Apache-2.0
"""What a plugin's end means, decided from values alone: a result, nothing, or a CNI error.

Kept apart from the connection so that every way to end badly is one row of a table test. It must not judge a result's
content: that is `metacni.cni.convert`'s.
"""

import errno
import os
from dataclasses import dataclass

from metacni.cni import errors, jsontext
from metacni.cni.errors import CniError, Code
from metacni.cni.names import PluginType
from metacni.cni.versions import Verb
from metacni.exec.frames import MAX_STDOUT, Done, Execution, How

_SHOWN = 200  # characters of a plugin's prose in a one-line message


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a plugin printed; `status` is its exit code, or the negative number of the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes


def result_of(output: Output, verb: Verb, plugin: PluginType) -> bytes:
    """Give the JSON object that the plugin printed, b"" for a verb that prints none, or raise what went wrong."""
    if output.status != 0:  # B11: whatever it printed, JSON, prose or nothing, there is an error in it
        raise errors.from_output(output.status, output.stdout, output.stderr).within(f"plugin {plugin!r}")
    if verb not in (Verb.ADD, Verb.VERSION):
        return b""  # A23: nothing is printed on success, and what is printed all the same means nothing
    text = output.stdout.strip()
    if text == b"null":
        return b"{}"  # A23: tolerated, as by libcni
    if not text:
        raise CniError(Code.DECODE, f"plugin {plugin!r} printed no result for {verb}", _hint(output.stderr))
    try:
        jsontext.loads_object(text, "its result")
    except CniError as error:
        shown = text[:_SHOWN].decode(errors="replace")
        raise error.within(f"plugin {plugin!r} printed {shown!r}") from error
    return text


def output_of(done: Done, request: Execution) -> Output:
    """Give what a plugin left behind; CniError if it never ran or printed too much to be kept."""
    if done.how == How.ABSENT:
        where = ":".join(request.path)
        raise CniError(Code.CONFIG, f"cannot run plugin {request.type!r}: it is in no folder of {where!r}")
    if done.how == How.FAILED:
        code = Code.TRY_AGAIN if done.value == errno.ETXTBSY else Code.IO
        raise CniError(code, f"cannot run plugin {request.type!r}: {_cause(done.value)}")
    if done.truncated:
        raise CniError(Code.INTERNAL, f"plugin {request.type!r} was killed: it printed more than {MAX_STDOUT} bytes")
    status = done.value if done.how == How.EXITED else -done.value
    return Output(status=status, stdout=done.stdout, stderr=done.stderr)


def _cause(number: int) -> str:
    """Name an errno; ENOENT's usual text would make containerd take a failed DEL for a success (G15)."""
    return "the interpreter it names is missing" if number == errno.ENOENT else os.strerror(number).lower()


def _hint(stderr: bytes) -> str:
    shown = stderr[-_SHOWN:].decode(errors="replace").strip()
    return f"its stderr: {shown!r}" if shown else ""
