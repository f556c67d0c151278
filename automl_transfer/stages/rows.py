"""From a configuration that is asked to a row that is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from automl_transfer.configuration import Configuration
from automl_transfer.errors import DivergedError, reason_of
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome
from automl_transfer.plan import FreezePlan
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.proposals import trial_seed
from automl_transfer.stages.spool import tell


def begun(context: Context, configuration: Configuration, number: int, stage: str) -> Outcome:
    """The row of a trial that is about to run."""
    candidate = context.candidates[configuration.backbone]
    registry = context.registry
    return Outcome(
        number=number,
        stage=stage,
        configuration=configuration,
        state="running",
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seed=trial_seed(context.request.seed, number),
        device=str(context.device),
        generation=context.generation,
        providers={
            configuration.backbone: registry.provider("backbone", configuration.backbone),
            configuration.head: registry.provider("head", configuration.head),
            configuration.strategy: registry.provider("strategy", configuration.strategy),
        },
        weights=candidate.weights.sha256 if candidate.weights else None,
        plan=_plan(context, candidate, configuration),
    )


def _plan(
    context: Context, candidate: Candidate, configuration: Configuration
) -> FreezePlan | None:
    """What trains when, for whoever looks at the row; None where only a head does."""
    if context.is_frozen(configuration):
        return None
    try:
        plan = context.registry.load(context.strategy(configuration.strategy))(
            stages=candidate.views, params=configuration.of("strategy", configuration.strategy)
        )
        # As it will be read back: what cannot be stored would cost the row, and what cannot be
        # read the whole study. Numbers of numpy and the like become those of Python.
        text = json.dumps(to_json(plan, FreezePlan), allow_nan=False, default=float)
        return from_json(FreezePlan, json.loads(text))
    except Exception:
        return None  # the trial asks for it as well, and fails by itself


def failed(row: Outcome, error: BaseException) -> Outcome:
    """The row of a trial that an error has ended."""
    return replace(row, state="failed", reason=reason_of(error))


def checked(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics, if they are numbers.

    Raises:
        DivergedError: One is not finite.
    """
    wrong = {name: value for name, value in metrics.items() if not np.isfinite(value)}
    if wrong:
        raise DivergedError(f"Every metric must be finite, but got {wrong}.")
    return metrics


def store(context: Context, rows: Sequence[Outcome]) -> None:
    """Keeps the rows of trials that have ended, durably and at one go."""
    tell(context.files, context.store, rows)
    context.outcomes.extend(rows)
    context.outcomes.sort(key=lambda row: row.number)
