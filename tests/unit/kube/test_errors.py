# SPDX-License-Identifier: Apache-2.0
"""Every failure of the API is one of our types."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from metacni import kube
from metacni.kube import errors


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(400, errors.Rejected, id="bad request"),
        pytest.param(401, errors.SourceUnavailable, id="unauthorized: the token rotates"),
        pytest.param(403, errors.Forbidden, id="forbidden"),
        pytest.param(404, errors.NotFound, id="not found"),
        pytest.param(409, errors.Rejected, id="conflict"),
        pytest.param(410, errors.Gone, id="gone"),
        pytest.param(422, errors.Rejected, id="invalid"),
        pytest.param(429, errors.SourceUnavailable, id="too many requests"),
        pytest.param(500, errors.SourceUnavailable, id="server error"),
        pytest.param(503, errors.SourceUnavailable, id="unavailable"),
    ],
)
def test_each_http_status_has_its_type(status: int, expected: type[errors.KubeError]) -> None:
    """Callers decide by type, so each status maps to exactly one."""
    assert type(errors.of_status(status, "cannot get 'x'", "because")) is expected


def test_the_text_is_one_line_with_the_cause_last() -> None:
    """The message says what was attempted, why not, and the status."""
    assert str(errors.of_status(403, "cannot get '/a'", "not for you")) == "cannot get '/a': not for you (HTTP 403)"


def test_a_rejection_keeps_its_status() -> None:
    """Whoever must tell a conflict from an invalid object reads a number, not a text."""
    error = errors.of_status(422, "cannot patch 'x'", "uid")
    assert isinstance(error, errors.Rejected)
    assert error.status == 422


def test_kubernetes_and_urllib3_are_imported_in_two_modules_only() -> None:
    """What few modules import, few modules can leak."""
    folder = Path(kube.__file__).parent
    assert {path.name for path in folder.glob("*.py") if _imports(path) & {"kubernetes", "urllib3"}} == {
        "access.py",
        "wire.py",
    }


def test_tenacity_is_imported_in_one_module_only() -> None:
    """All waiting for the API server is decided in one place."""
    folder = Path(kube.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "tenacity" in _imports(path)] == ["retry.py"]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
