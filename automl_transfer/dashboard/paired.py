"""Two to four trials compared on the same samples: the difference, its interval, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from automl_transfer.dashboard.predictions import Predicted
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import interval_text, metric_words, score_text
from automl_transfer.outcome import Outcome
from automl_transfer.report.figures import difference, differences, share


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A comparison in words and as a table."""

    sentence: str
    frame: pd.DataFrame
    samples: int
    seen: str
    """What difference could be seen at all."""


def paired(study: Snapshot, known: Sequence[tuple[Outcome, Predicted]]) -> Paired:
    """Compares trials on the validation part.

    Args:
        study: Whose trials they are.
        known: Trials with what they predicted, at least two.
    """
    numbers = tuple(trial.number for trial, _ in known)
    version = (study.made, len(study.trials), *(one.stamp for _, one in known))
    return _paired(str(study.directory), version, numbers, study, known)


@st.cache_resource(max_entries=64, show_spinner=False)
def _paired(
    directory: str,
    version: tuple[Any, ...],
    numbers: tuple[int, ...],
    _study: Snapshot,
    _known: Sequence[tuple[Outcome, Predicted]],
) -> Paired:
    from automl_transfer.comparison import compare

    metric = _study.metric
    samples = _known[0][1].samples
    found = compare(
        [one.probabilities for _, one in _known],
        samples.targets,
        metric,
        _study.request.seed,
        groups=samples.groups,
    )
    best = numbers[found.best]
    rows = []
    beaten: list[int] = []
    level: list[int] = []
    for place, number in enumerate(numbers):
        one = found.contenders[place]
        rows.append(
            {
                "trial": number,
                metric_words(metric): score_text(metric, one.value),
                "95 % interval": interval_text(metric, one.interval),
                "behind the best": differences(metric, one.behind),
                "right where the best is wrong": _only(_known[place][1], _known[found.best][1]),
                "wrong where the best is right": _only(_known[found.best][1], _known[place][1]),
                "P(best)": share(one.p_best),
            }
        )
        if place != found.best:
            (beaten if found.beats(found.best, place) else level).append(number)
    frame = pd.DataFrame(rows)
    if samples.targets.ndim == 2 or np.issubdtype(samples.targets.dtype, np.floating):
        frame = frame.drop(
            columns=["right where the best is wrong", "wrong where the best is right"]
        )
    parts = []
    if beaten:
        place = numbers.index(beaten[0])
        gap = difference(metric, float(found.differences[found.best, place]))
        ends = differences(metric, found.difference(found.best, place))
        parts.append(f"trial {best} is better than trial {_listed(beaten)} ({gap}, {ends})")
    if level:
        parts.append(f"no difference is shown between trial {best} and trial {_listed(level)}")
    sentence = "; ".join(parts)
    least = found.minimum_detectable
    return Paired(
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        frame=frame,
        samples=len(samples.positions),
        seen=""
        if least is None
        else f"Differences below {difference(metric, least)} would not have been seen reliably.",
    )


def _only(one: Predicted, other: Predicted) -> int | None:
    """Samples that only the first is right about; of classes alone."""
    targets = one.samples.targets
    if targets.ndim == 2 or np.issubdtype(targets.dtype, np.floating):
        return None
    right = one.probabilities.argmax(axis=1) == targets
    return int((right & (other.probabilities.argmax(axis=1) != targets)).sum())


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
