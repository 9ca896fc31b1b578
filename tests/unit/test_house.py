# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, as tests: what a reviewer would otherwise have to say every time.

There are no exception lists. A rule that is wrong is changed here, with its reason, for everybody.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
TOOLS = Path(sys.executable).parent
MAX_FILE, MAX_FUNCTION, MAX_POSITIONAL = 400, 50, 5
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked() -> tuple[str, ...]:
    """Return the files of the project that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(sorted(name for name in done.stdout.splitlines() if (ROOT / name).is_file()))


@cache
def sources(*folders: str) -> tuple[str, ...]:
    """Return the Python files below these folders; all of them without one."""
    return tuple(name for name in tracked() if name.endswith(".py") and name.startswith(folders or ""))


@cache
def tree(name: str) -> ast.Module:
    """Return a file, parsed."""
    return ast.parse((ROOT / name).read_text(), name)


def functions(name: str) -> Iterator[Function]:
    """Yield each function of a file, methods and inner ones too."""
    yield from (node for node in ast.walk(tree(name)) if isinstance(node, Function))


def is_test(name: str) -> bool:
    """Tell whether a file holds tests."""
    return name.startswith("tests/") and Path(name).name.startswith("test_")


def own_code() -> list[str]:
    """Return the sources and what helps the tests, without the tests."""
    return [name for name in sources("metacni/", "delegates/", "tests/") if not is_test(name)]


# ---- no tail


def test_no_file_has_a_tail() -> None:
    """No source file is longer than 400 lines."""
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in own_code()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE} == {}


def test_no_function_has_a_tail() -> None:
    """No function is longer than 50 lines."""
    long = [
        f"{name}:{node.lineno} {node.name} has {(node.end_lineno or 0) - node.lineno + 1}"
        for name in own_code()
        for node in functions(name)
        if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION
    ]
    assert long == []


def test_no_function_takes_more_than_five_by_position() -> None:
    """No function takes more than five positional parameters, self and cls not counted."""
    wide = []
    for name in own_code():
        for node in functions(name):
            given = [*node.args.posonlyargs, *node.args.args]
            if len([argument for argument in given if argument.arg not in ("self", "cls")]) > MAX_POSITIONAL:
                wide.append(f"{name}:{node.lineno} {node.name}")
    assert wide == []


# ---- the mirror, and what every file and test says of itself


def test_every_source_has_its_test() -> None:
    """metacni/x/y.py has tests/unit/x/test_y.py, delegates/y.py has tests/unit/delegates/test_y.py."""
    wanted = {
        f"tests/unit/{Path(name.removeprefix('metacni/')).with_name(f'test_{Path(name).name}')}"
        for name in sources("metacni/", "delegates/")
        if Path(name).name not in ("__init__.py", "__main__.py")
    }
    assert sorted(wanted - set(tracked())) == []


def test_every_test_says_in_a_sentence_what_holds() -> None:
    """Each test function has a docstring of its own."""
    mute = [
        f"{name}:{node.lineno} {node.name}"
        for name in sources("tests/")
        if is_test(name)
        for node in functions(name)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert mute == []


def test_every_module_says_why_it_exists() -> None:
    """Each Python file that holds anything begins with a docstring."""
    assert [name for name in sources() if tree(name).body and not ast.get_docstring(tree(name))] == []


def test_every_source_names_its_licence_first() -> None:
    """Each Python, C and shell file has the SPDX line on top, a script right below its interpreter."""
    scripts = [name for name in tracked() if Path(name).suffix in (".py", ".c", ".h", ".sh") or name == ".ci/run"]
    bare = []
    for name in scripts:
        lines = (ROOT / name).read_text().splitlines()
        head = lines[1:2] if lines[:1] and lines[0].startswith("#!") else lines[:1]
        if head not in (["# SPDX-License-Identifier: Apache-2.0"], ["// SPDX-License-Identifier: Apache-2.0"]):
            bare.append(name)
    assert bare == []


# ---- one door per outside world


class Door(NamedTuple):
    """Something of the outside world: how its use looks, below which folder, in at most how many files."""

    pattern: str
    folder: str
    files: int


@pytest.mark.parametrize(
    "door",
    [
        # the demo shows what programs say, the build runs a compiler: the agent itself starts its executor, no more
        pytest.param(
            Door(r"^\s*(import|from) subprocess\b|\bPopen\(", "metacni/(cli/|shim/|exec/executor[.]py)", 3),
            id="subprocess",
        ),
        pytest.param(Door(r"\bos\.(system|fork|posix_spawn|exec[lv]\w*|spawn\w+)\(", "metacni/none/", 0), id="exec"),
        pytest.param(Door(r"^\s*(import|from) kubernetes\b", "metacni/kube/", 9), id="kubernetes"),
        pytest.param(Door(r"^\s*(import|from) pyroute2\b", "metacni/netns/", 2), id="pyroute2"),
        pytest.param(Door(r"\bsetns\(|\.setns\b", "metacni/netns/", 1), id="setns"),
        pytest.param(Door(r"^\s*(import|from) tenacity\b", "metacni/kube/", 1), id="tenacity"),
    ],
)
def test_an_outside_world_has_one_door(door: Door) -> None:
    """Programs, the API, netlink, namespaces and retries are each reached from the files that are named here."""
    users = [name for name in sources("metacni/") if re.search(door.pattern, (ROOT / name).read_text(), re.MULTILINE)]
    assert [name for name in users if not re.match(door.folder, name)] == []
    assert len(users) <= door.files, users


def test_versions_stand_in_one_table() -> None:
    """No source but cni/versions.py holds a version of the CNI specification."""
    literal = re.compile(r"^(0\.[1-4]\.[0-2]|1\.[01]\.[0-9])$")
    found = [
        f"{name}:{node.lineno} {node.value}"
        for name in sources("metacni/")
        if name not in ("metacni/cni/versions.py", "metacni/__init__.py")  # the latter holds our own
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and literal.match(node.value)
    ]
    assert found == []


def test_nothing_is_decided_by_the_text_of_an_error() -> None:
    """No caught exception is compared, searched or matched as text."""
    found = []
    for name in sources("metacni/", "tests/"):
        for handler in (node for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler) and node.name):
            judged = [part for node in ast.walk(handler) for part in _judged(node)]
            texts = [part for part in judged if _is_text_of(part, handler.name or "")]
            found += [f"{name}:{part.lineno}" for part in texts]
    assert found == []


def _judged(node: ast.AST) -> list[ast.expr]:
    """Return what this piece of code compares, or asks a method of text about."""
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Attribute) and node.attr in ("startswith", "endswith", "find"):
        return [node.value]
    return []


def _is_text_of(node: ast.expr, caught: str) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("str", "repr"):
        return any(isinstance(part, ast.Name) and part.id == caught for part in node.args)
    texts = ("args", "msg", "message", "strerror", "details")
    return isinstance(node, ast.Attribute) and node.attr in texts and getattr(node.value, "id", "") == caught


def test_no_test_replaces_our_own_code() -> None:
    """Fakes are programs or small implementations of a Protocol: nothing is patched."""
    pattern = re.compile(r"unittest[.]mock|mock[.]patch|monkeypatch[.]setattr|from unittest import mock|mocker\b")
    names = [name for name in sources("tests/") if name != "tests/unit/test_house.py"]
    assert [name for name in names if pattern.search((ROOT / name).read_text())] == []


# ---- what must not be written down


def test_no_file_names_a_machine() -> None:
    """No file names a path that only one machine has, and the lock file no place to load from."""
    machine = re.compile(rb"/(work|root)/|[.]pyenv|/hom" + rb"e/\w")
    texts = {name: (ROOT / name).read_bytes() for name in tracked()}
    assert [name for name, text in texts.items() if machine.search(text) and name != "tests/unit/test_house.py"] == []
    assert b"://" not in texts["requirements.lock"]


def test_conformance_lines_and_citations_agree() -> None:
    """Each id that a comment or docstring cites stands in docs/conformance.md, and each line there is cited."""
    lines = (ROOT / "docs/conformance.md").read_text().splitlines()
    stated = [found.group(1) for line in lines if (found := re.match(r"- \*\*([A-H]\d{1,2})\*\* \S.*\[.+\]$", line))]
    assert sorted(name for name in set(stated) if stated.count(name) > 1) == []
    cited = {
        identifier: name
        for name in tracked()
        if Path(name).suffix in (".py", ".c", ".h") and name != "tests/unit/test_house.py"
        for identifier in _cited(prose(name))
    }
    assert {name: where for name, where in cited.items() if name not in stated} == {}
    assert sorted(set(stated) - set(cited)) == []


def test_every_decision_that_is_cited_is_written_down() -> None:
    """A reader who meets "decision 9" finds it in docs/decisions.md."""
    stated = set(re.findall(r"^(\d+)\. \*\*", (ROOT / "docs/decisions.md").read_text(), re.MULTILINE))
    cited = {number for name in sources() for number in re.findall(r"\bdecisions? (\d+)", prose(name))}
    assert cited - stated == set()


def prose(name: str) -> str:
    """Return the comments and docstrings of a source, those of variables too."""
    text = (ROOT / name).read_text()
    if not name.endswith(".py"):
        return "\n".join(re.findall(r"//.*|/\*.*?\*/", text, re.DOTALL if "/*" in text else 0))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    statements = (node.value for node in ast.walk(tree(name)) if isinstance(node, ast.Expr))
    return "\n".join([*comments, *(str(node.value) for node in statements if isinstance(node, ast.Constant))])


def _cited(text: str) -> set[str]:
    """Return the ids in a text: A41, and of a range such as A18-A22 or A18-22 every one."""
    found: set[str] = set()
    for group, first, last in re.findall(r"\b([A-H])([1-9]\d?)(?:-[A-H]?([1-9]\d?))?(?![\w.]*\w)", text):
        found |= {f"{group}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


# ---- the linters are tests

TYPED = [folder for folder in ("metacni", "delegates", "crds", "tests") if sources(f"{folder}/")]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check", "."), id="ruff"),
        pytest.param(("ruff", "format", "--check", "."), id="format"),
        pytest.param(("mypy", "--strict", *TYPED), id="mypy"),
        pytest.param(("lint-imports",), id="floors"),
    ],
)
def test_a_linter_finds_nothing(command: tuple[str, ...]) -> None:
    """ruff, its formatter, mypy --strict and the floors of import-linter are content."""
    done = subprocess.run([TOOLS / command[0], *command[1:]], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
