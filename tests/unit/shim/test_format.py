# SPDX-License-Identifier: Apache-2.0
"""frames.md, shim.h and exec/frames.py say the same."""

import re

import pytest

from metacni.exec import frames, pending
from metacni.shim import build

TEXT = (build.HERE / "frames.md").read_text()
HEADER = (build.HERE / "shim.h").read_text()
STATED = {name: int(value, 0) for name, value in re.findall(r"^\| ([A-Z_]+) \| (\w+) \|", TEXT, re.MULTILINE)}


def test_the_document_states_all_constants() -> None:
    """The tables were found: without this the comparisons below could pass empty."""
    assert len(STATED) == 13 + len(frames.Type) + len(frames.How)


def test_the_shims_header_agrees() -> None:
    """Every number of the C side's format block stands in the document, and the other way round."""
    block = HEADER[HEADER.index("enum {") : HEADER.index("#ifndef SECOND")]
    assert {name: int(value, 0) for name, value in re.findall(r"\b([A-Z_]+) = (\w+)", block)} == STATED


def test_the_agents_module_agrees() -> None:
    """So does every one of the Python side's."""
    constants = {name: value for name, value in vars(frames).items() if name.isupper() and not name.startswith("_")}
    enums = {member.name: member.value for kind in (frames.Type, frames.How) for member in kind}
    assert constants | enums == STATED


@pytest.mark.parametrize("name", [pending.FOLDER, pending.ALIVE])
def test_the_files_names_agree(name: str) -> None:
    """The two names in the socket's folder are a part of the format, too."""
    assert f"`{name}" in TEXT
    assert f"/{name}" in (build.HERE / "agent.c").read_text()
