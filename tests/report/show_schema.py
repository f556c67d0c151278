"""Makes the JSON schema of ``show --json``: ``python -m tests.report.show_schema`` writes it."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from automl_transfer import report
from automl_transfer.report.shown import SCHEMA, Shown

FILE = Path(report.__file__).parent / "schema" / f"show-{SCHEMA}.json"
SOMETIMES = {"outcomes"}
"""Fields that are not always there."""


def make() -> dict[str, Any]:
    """The schema: pydantic reads the types, and the docstrings of the fields describe them."""
    from pydantic import TypeAdapter

    made = TypeAdapter(Shown).json_schema(
        mode="serialization", ref_template="#/$defs/{model}", by_alias=False
    )
    described = _docstrings()
    for name, found in [("Shown", made), *made["$defs"].items()]:
        properties = found.get("properties", {})
        for field, value in properties.items():
            value.pop("title", None)
            value.pop("default", None)
            words = described.get(name, {}).get(field)
            if words:
                value["description"] = words
        if properties:
            found["required"] = [field for field in properties if field not in SOMETIMES]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:automl-transfer:show:{SCHEMA}",
        **made,
        "title": f"automl-transfer show --json, schema {SCHEMA}",
        "description": "A study as it stands. Readers pass over fields that they do not know: "
        "some may be added under the same number.",
    }


def _docstrings() -> dict[str, dict[str, str]]:
    """Class to field to the text below it."""
    found: dict[str, dict[str, str]] = {}
    modules = {Shown.__module__, "automl_transfer.recommendation", "automl_transfer.outcome"}
    modules |= {"automl_transfer.events", "automl_transfer.configuration"}
    for module in modules:
        __import__(module)
        tree = ast.parse(inspect.getsource(sys.modules[module]))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = dict(_described(node))
    return found


def _described(node: ast.ClassDef) -> Any:
    for field, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            words = textwrap.dedent(str(after.value.value))
            yield field.target.id, " ".join(words.split())


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
