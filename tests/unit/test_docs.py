# SPDX-License-Identifier: Apache-2.0
"""The documentation says what the code does, as far as a machine can tell."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

README_LINES = 150


def test_the_tables_of_the_pages_are_those_of_the_schemas() -> None:
    """After a change of a schema: make docs."""
    script = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    texts = [path.read_text("utf-8") for path in script["PAGES"]]
    assert [script["page"](text) for text in texts] == texts


def test_every_link_between_our_pages_leads_somewhere() -> None:
    """A relative link names a file of the repository."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text("utf-8"))
        if not (page.parent / link).exists()
    ]
    assert dead == []


def test_the_readme_stays_short() -> None:
    """A newcomer reads it to the end."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES
