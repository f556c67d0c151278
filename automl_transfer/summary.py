"""As much of a trial as tables, filters and orders need: ten thousand are read in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from automl_transfer.outcome import Outcome, State


class Summary(NamedTuple):
    """One trial. A tuple, since there are very many."""

    number: int
    stage: str
    state: State
    value: float | None
    """On the validation part."""
    backbone: str
    head: str
    strategy: str
    seconds: float
    """Wall time; of a running trial until its last report."""
    steps: int
    epochs: int
    """Allowed ones."""
    trained: int
    """Parameters that trained; 0 where that was not measured."""
    total: int
    """Of all parameters; likewise."""
    started: str
    reason: str | None
    last: float | None
    """The last value of the curve."""
    done: int
    """Epochs that the curve has."""

    @property
    def title(self) -> str:
        """``backbone + head, strategy``, for people."""
        return f"{self.backbone} + {self.head}, {self.strategy}"

    @property
    def shown(self) -> float | None:
        """The value, or, of a trial that did not finish, the last one reported."""
        return self.last if self.value is None else self.value

    @property
    def trainable(self) -> float | None:
        """Trained share of all parameters, 0 to 1; None where it was not measured."""
        return self.trained / self.total if self.total else None


STATES = frozenset(get_args(State))
PATHS = (
    "configuration.backbone",
    "configuration.head",
    "configuration.strategy",
    "seconds",
    "steps",
    "epochs",
    "proof.trainable_parameters",
    "proof.total_parameters",
    "started",
    "reason",
    "curve[#-1].value",
    "curve[#-1].epoch",
    "curve[#-1].seconds",
)
"""Where a stored row has what :func:`from_parts` takes, as SQLite's JSON functions name it."""


def from_parts(
    number: int, stage: str, state: State, value: float | None, parts: Sequence[Any]
) -> Summary:
    """A summary of a stored row.

    Args:
        number: Of the trial.
        stage: Likewise.
        state: Likewise.
        value: Likewise.
        parts: What stands at :data:`PATHS`; None where there is nothing.

    Raises:
        ValueError: Their number is another, or they are of another kind.
    """
    backbone, head, strategy, seconds, steps, epochs, trained, total, *rest = parts
    started, reason, last, done, last_seconds = rest
    numbers = (value, seconds, steps, epochs, trained, total, last, done, last_seconds)
    if any(isinstance(one, (str, list, dict)) for one in numbers) or state not in STATES:
        raise ValueError(f"Trial {number} is damaged: its row holds other values than a row does.")
    return Summary(
        number,
        stage,
        state,
        value,
        backbone,
        head,
        strategy,
        seconds or last_seconds or 0.0,
        steps or 0,
        epochs or 0,
        trained or 0,
        total or 0,
        started or "",
        reason,
        last,
        done or 0,
    )


def summary_of(outcome: Outcome) -> Summary:
    """The summary of a trial."""
    parts, proof = outcome.configuration, outcome.proof
    point = outcome.curve[-1] if outcome.curve else None
    return Summary(
        number=outcome.number,
        stage=outcome.stage,
        state=outcome.state,
        value=outcome.value,
        backbone=parts.backbone,
        head=parts.head,
        strategy=parts.strategy,
        seconds=outcome.seconds or (point.seconds if point else 0.0),
        steps=outcome.steps,
        epochs=outcome.epochs,
        trained=proof.trainable_parameters if proof else 0,
        total=proof.total_parameters if proof else 0,
        started=outcome.started,
        reason=outcome.reason,
        last=point.value if point else None,
        done=point.epoch if point else 0,
    )
