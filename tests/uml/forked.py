# SPDX-License-Identifier: Apache-2.0
"""A delegate of ours as a program, without the half second that Python takes to start in User-Mode Linux.

The process is forked from the tests' own and goes to the node's namespace; from there it is what `python -m` would be.
"""

import importlib
import io
import json
import os
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from delegates import _program
from delegates._skeleton import Delegate
from metacni.netns import sandbox
from tests.kernel.conftest import Namespace


def run(node: Namespace, module: str, variables: Mapping[str, str], stdin: str) -> tuple[int, dict[str, Any]]:
    """Its exit status and what it printed; what it prints to stderr fails the test."""
    delegate = importlib.import_module(module).DELEGATE  # once, not in each child
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_program(node, delegate, variables, stdin, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"error": "it died"}')
    os.waitpid(child, 0)
    assert said.get("error", "") == "", said["error"]
    return said["status"], json.loads(said["output"]) if said["output"].strip() else {}


def _be_the_program(
    node: Namespace, delegate: Delegate[Any], variables: Mapping[str, str], stdin: str, writing: int
) -> NoReturn:  # fmt: skip
    said: dict[str, Any] = {}
    try:
        fd = os.open(node.path, os.O_RDONLY)
        sandbox.enter(fd)
        os.close(fd)
        output, error = io.BytesIO(), io.StringIO()
        status = _program.run(delegate, variables, io.BytesIO(stdin.encode()), output, error)
        said = {"status": status, "output": output.getvalue().decode(), "error": error.getvalue()}
    except BaseException:  # noqa: BLE001 - the tests' process must not go on twice
        said = {"error": traceback.format_exc()}
    finally:
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
