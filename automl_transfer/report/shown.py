"""What ``automl-transfer show --json`` prints: a contract with whoever reads it.

``schema/show-2.json`` describes it (JSON Schema, draft 2020-12). After a change here, or of a noun
in it, ``python -m tests.report.show_schema`` writes it anew. Fields may be added under the same
number; readers pass over those that they do not know. What takes a field away, or gives it another
meaning, raises the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from automl_transfer.events import BackboneScreened, DataLoaded
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome, finished
from automl_transfer.recommendation import Exclusion, Recommendation
from automl_transfer.report.ranking import is_final
from automl_transfer.study import Study

SCHEMA = 2
"""Version of the form. 1 had no number of its own."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A study as it stands."""

    schema: int = SCHEMA
    study: str
    directory: str
    command: str
    """Repeats or resumes it."""
    status: Mapping[str, Any]
    """``state``: running, interrupted, finished, failed or unknown; and how far it has come."""
    metric: str
    """What is maximised; ``auto`` before the data are loaded."""
    provisional: bool
    """Whether there is no answer yet, or trials that it does not know."""
    trials: Mapping[str, int]
    """How many ended in each state."""
    data: DataLoaded | None
    """None before they are loaded."""
    recommendation: Recommendation | None
    """None before there is an answer."""
    best: tuple[int, ...]
    """Numbers of the finished trials, best first by the validation part."""
    screen: tuple[BackboneScreened, ...]
    why_not: tuple[Exclusion, ...]
    audit: Mapping[str, Any] | None = None
    """What was found about the data; None where no audit was made."""
    outcomes: tuple[Outcome, ...] | None = None
    """Every trial, running ones as well; there with ``--trials`` only."""


def shown(study: Study, metric: str, outcomes: Sequence[Outcome] | None) -> dict[str, Any]:
    """A study as JSON values.

    Args:
        study: What is to be shown.
        metric: What it maximises.
        outcomes: Its trials, if they are to be in it.
    """
    rows = study.trials
    answer = study.recommendation
    data = study.document("data")
    value: dict[str, Any] = to_json(
        Shown(
            study=study.name,
            directory=str(study.directory),
            command=study.command,
            status=study.status,
            metric=metric,
            provisional=not is_final(answer, rows),
            trials=dict(Counter(row.state for row in rows)),
            data=from_json(DataLoaded, data) if data else None,
            recommendation=answer,
            best=tuple(row.number for row in finished(rows)),
            screen=tuple(
                from_json(BackboneScreened, row) for row in study.document("screen") or ()
            ),
            why_not=tuple(from_json(Exclusion, row) for row in study.document("why_not") or ()),
            audit=study.document("audit"),
            outcomes=tuple(outcomes) if outcomes is not None else None,
        )
    )
    if outcomes is None:
        del value["outcomes"]
    return value


def schema_text() -> str:
    """The JSON schema of what :func:`shown` returns, as text."""
    stored = files("automl_transfer.report") / "schema" / f"show-{SCHEMA}.json"
    return stored.read_text(encoding="utf-8")
