# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of the pages of docs/ from the schemas in crds/, so that a key is described in one place.

`python docs/tables.py` rewrites the pages; a test calls `page()` and compares.
"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "docs" / "configuration.md", ROOT / "docs" / "delegates.md")
_BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """The page with every table made anew."""
    return _BLOCK.sub(lambda found: found[1] + table(found[2]) + found[3], text)


def table(schema_name: str) -> str:
    """One row for each key of a schema, nested ones with a dotted name."""
    schema = json.loads((ROOT / "crds" / schema_name).read_text("utf-8"))
    rows = [f"| `{name}` | {kind} | {default} | {text} |\n" for name, kind, default, text in _rows("", schema)]
    return "| key | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _rows(prefix: str, schema: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for key, value in schema["properties"].items():
        default = f"`{json.dumps(value['default'])}`" if value.get("default") not in (None, {}) else ""
        rows.append((prefix + key, _kind(value), default, value["description"]))
        name, inner = prefix + key, value
        while inner.get("type") == "array":  # what a list holds stands below it
            name, inner = f"{name}[]", inner.get("items", {})
        if "properties" in inner:
            rows += _rows(f"{name}.", inner)
    return rows


def _kind(value: dict[str, Any]) -> str:
    if "oneOf" in value:
        *first, last = map(_kind, value["oneOf"])
        return f"{', '.join(first)} or {last}"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"] if one)
    kind = value["type"]
    if kind == "array":
        return f"list of {value.get('items', {}).get('type', 'object')}s"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path.read_text("utf-8")), "utf-8")
