"""What would change the answer: experiments that are worth their cost, with their commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from automl_transfer.auditing.labels import KIND as WRONG_LABELS
from automl_transfer.budget import format_duration
from automl_transfer.cards import PORTFOLIOS
from automl_transfer.dashboard.improving import chance_of
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.figures import between, counted, difference, metric_words

TREND = 0.2
"""A last part of the search in which the best still rose speaks for going on."""
_LATE = ("budget", "no time", "time was left")
"""Words by which the search says that something was not tried for lack of time."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One experiment."""

    what: str
    """A sentence."""
    expect: str
    """What it may bring, in words that the figures allow."""
    command: str | None = None
    """What to type for it; None: nothing can be typed."""


def steps(study: Snapshot) -> list[Step]:
    """Experiments, what is surest first; empty where none is known that would help."""
    return [*_unfinished(study), *_labels(study), *_more(study)]


def _unfinished(study: Snapshot) -> Iterator[Step]:
    if study.standing() in ("interrupted", "quiet", "failed"):
        yield Step(
            what="Let the search go on to its end.",
            expect="Only then are the best confirmed on fresh folds and scored on samples that "
            "the search never saw.",
            command=study.command,
        )


def _labels(study: Snapshot) -> Iterator[Step]:
    findings = study.audit.findings if study.audit else ()
    for finding in findings:
        if finding.kind == WRONG_LABELS and finding.count:
            yield Step(
                what=f"Look at {counted(finding.count, 'label')} that may be wrong (page Errors), "
                "correct the data, and search again.",
                expect="Wrong labels cost accuracy in training, and make every score too low. "
                "Many of the suspicions may be false.",
            )


def _more(study: Snapshot) -> Iterator[Step]:
    answer = study.recommendation
    if answer is None or not study.is_final:
        return
    yield from _longer(study)
    yield from _larger(study, answer)
    yield from _more_labels(answer)
    yield from _tie(answer)


def _longer(study: Snapshot) -> Iterator[Step]:
    budget = study.request.budget_seconds
    if budget is None:
        return
    late = [row for row in study.why_not if any(w in str(row.get("reason")) for w in _LATE)]
    rise = _late_rise(study)
    if not late and rise is None:
        return
    reasons: list[str] = []
    if rise is not None:
        reasons.append(
            f"the best rose by {difference(study.metric, rise)} within the last fifth of the "
            "trials (on the data that it was chosen on)"
        )
    if late:
        what = counted(len(late), "candidate was", "candidates were")
        reasons.append(f"{what} not tried for lack of time")
    longer = replace(study.request, budget_seconds=2 * budget)
    hope = "It may help: " if rise is not None else "It may help, or not: "
    doubt = (
        "" if rise is not None else "; of what was tried, the best no longer rose (page Search)"
    )
    yield Step(
        what=f"Search on: {format_duration(2 * budget)} in all, in the same study.",
        expect=f"{hope}{' and '.join(reasons)}{doubt}.",
        command=longer.command,
    )


def _late_rise(study: Snapshot) -> float | None:
    """How much the best rose in the last part of the finished trials; None where it did not."""
    rows = [row for row in study.trials if row.state == "finished" and row.value is not None]
    if len(rows) < 10:
        return None
    cut = int(len(rows) * (1 - TREND))
    values = [row.value or 0.0 for row in rows]
    rise = max(values) - max(values[:cut])
    # As the page Search judges it: what may be chance is no reason to go on.
    return rise if rise > (chance_of(study) or 0.0) else None


def _larger(study: Snapshot, answer: Recommendation) -> Iterator[Step]:
    found = answer.learning.larger if answer.learning else None
    size = study.request.portfolio
    if found is None or found.interval.low <= 0 or size == PORTFOLIOS[-1]:
        return
    larger = PORTFOLIOS[PORTFOLIOS.index(size) + 1]
    request = replace(study.request, portfolio=larger, study=f"{study.request.name}-{larger}")
    yield Step(
        what=f"Search among larger backbones, in a study of its own (portfolio {larger}).",
        expect=f"Frozen, the larger of those that were screened scored "
        f"{difference(answer.metric, found.gain, sign=True)} "
        f"({between(answer.metric, found.interval)}) for {found.times:.1f} times the "
        f"{found.unit}.",
        command=request.command,
    )


def _more_labels(answer: Recommendation) -> Iterator[Step]:
    forecast = (
        answer.learning.forecasts[0] if answer.learning and answer.learning.forecasts else None
    )
    if answer.learning is None or forecast is None:
        return
    more = forecast.samples - answer.learning.samples
    sure = "" if forecast.interval.low > 0.0005 else "; it may be nothing"
    yield Step(
        what=f"Label {counted(more, 'more sample')} ({forecast.factor:g} times as many as now).",
        expect=f"{difference(answer.metric, forecast.gain, sign=True)} of "
        f"{metric_words(answer.metric)} ({between(answer.metric, forecast.interval)}){sure}.",
    )


def _tie(answer: Recommendation) -> Iterator[Step]:
    found = answer.confirmation
    if found is None or found.minimum_detectable is None:
        return
    tied = [one for one in found.finalists if one.tied]
    if len(tied) < 2:
        return
    gap, need = tied[0].value - tied[1].value, "far more data"
    if gap > 0:
        # Standard errors shrink with the root of the number of samples.
        times = (found.minimum_detectable / gap) ** 2
        if times <= 1:
            need = "other samples: as many as these would usually show such a difference"
        elif times < 10:
            need = f"about {times:.1f} times the labelled samples"
        elif times < 1000:
            need = f"about {times:,.0f} times the labelled samples"
    yield Step(
        what=f"Tell the {len(tied)} tied finalists apart.",
        expect=f"Not worth it for most: it would take {need}, and the two that lead differ by "
        f"{difference(answer.metric, gap)}.",
    )
