"""``automl-transfer studies``."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from automl_transfer.cli.options import json_option


@click.command()
@click.argument("directory", default="studies")
@json_option
def studies(directory: str, as_json: bool) -> None:
    """List the studies in DIRECTORY (default: studies)."""
    from automl_transfer.cli.streams import inform, write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.errors import StudyError
    from automl_transfer.report.blocks import Table, columns
    from automl_transfer.report.figures import NOTHING, score
    from automl_transfer.study import list_studies

    rows: list[dict[str, Any]] = []
    for path in list_studies(directory):
        try:
            rows.append(_summary(path))
        except StudyError as error:
            rows.append({"name": path.name, "state": "unreadable", "error": str(error)})
    if as_json:
        write_json(rows)
        return
    if not rows:
        inform(
            f"There are no studies in {directory!r}. Make one with: "
            "automl-transfer search --data PATH"
        )
        return

    def cell(row: dict[str, Any], name: str) -> str:
        value = row.get(name)
        if name in ("best", "test"):
            return score(str(row.get("metric")), value)
        return NOTHING if value is None else str(value)

    names = ("name", "state", "data", "classes", "trials", "metric", "best", "test", "winner")
    table = Table(
        columns=columns(
            *("name", "state", "data?", "classes>?", "trials>", "metric?"),
            *("best (validation)>?", "answer's score>", "winner", "updated (UTC)?"),
        ),
        rows=tuple(
            (*(cell(row, name) for name in names), cell(row, "updated")[:16]) for row in rows
        ),
    )
    write_blocks([table])
    for row in rows:
        if "error" in row:
            inform(f"{row['name']}: {row['error']}")


def _summary(path: Path) -> dict[str, Any]:
    from automl_transfer.cli.reading import last_heard, metric_of, opened, state_words
    from automl_transfer.outcome import finished
    from automl_transfer.report.ranking import is_final

    with opened(path, path.parent, None) as study:
        rows = study.trials
        answer = study.recommendation
        data = study.document("data")
        best = finished(rows)
        heard = last_heard(study)
        final = answer if is_final(answer, rows) else None
        return {
            "name": study.name,
            "state": state_words(study),
            "data": study.request.data,
            "classes": len(data["classes"]) if data and data.get("kind") != "regression" else None,
            "trials": len(rows),
            "states": dict(Counter(row.state for row in rows)),
            "metric": metric_of(study),
            "best": best[0].value if best else None,
            "test": final.test.value if final else None,
            "winner": final.winner.configuration.title if final else None,
            "updated": None
            if heard is None
            else datetime.fromtimestamp(heard, UTC).isoformat(sep=" ", timespec="seconds"),
        }
