"""What would more labels buy, and what did a larger backbone?"""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.kinds import word_of
from automl_transfer.recommendation import (
    ClassGain,
    LearningCurve,
    Recommendation,
    SizeGain,
)
from automl_transfer.report.blocks import Block, Heading, Paragraph, Table, columns
from automl_transfer.report.figures import (
    amount,
    between,
    counted,
    difference,
    interval,
    metric_words,
    score,
)

SHOWN = 5
"""Classes in the table."""
_NOTHING_BELOW = 5e-4
"""A gain that is shown as 0.0 points."""


def labels_section(recommendation: Recommendation, classes: Sequence[str]) -> list[Block]:
    """Sentences and tables; empty without a learning curve.

    Args:
        recommendation: The answer.
        classes: Names of the classes; empty when they are not known.
    """
    curve, metric = recommendation.learning, recommendation.metric
    if curve is None:
        return []
    blocks: list[Block] = [
        Heading(text="What would more labels buy?"),
        Paragraph(text=labels_sentence(curve, metric), strong=True),
        _points(curve, metric),
    ]
    if len(curve.classes) > 1:
        blocks += _classes(curve, classes, word_of(recommendation.kind))
    return [
        *blocks,
        Paragraph(text=_larger(curve.larger, metric)),
        Paragraph(
            text=f"Measured on {curve.backbone} with {curve.method}. The forecast assumes new "
            "labels of the same kind as those that are there, and says nothing of samples that "
            "differ; the curve of a fine-tuned network may be steeper."
        ),
    ]


def labels_sentence(curve: LearningCurve, metric: str) -> str:
    """``Twice the labels (1,200 instead of 600): +1.8 points of accuracy (0.9 to 2.6). ...``."""
    words = {2.0: "Twice", 4.0: "Four times"}
    parts = [
        f"{words.get(row.factor, f'{row.factor:g} times')} the labels ({row.samples:,} instead of "
        f"{curve.samples:,}): {difference(metric, row.gain, sign=True)} of {metric_words(metric)} "
        f"({between(metric, row.interval)})."
        for row in curve.forecasts
    ]
    if curve.forecasts and curve.forecasts[0].interval.low < _NOTHING_BELOW:
        parts.append("It may be nothing: the curve is flat, or too uncertain to tell.")
    return " ".join(parts)


def _points(curve: LearningCurve, metric: str) -> Table:
    measured = [
        (
            f"{row.samples:,}",
            score(metric, row.value),
            interval(metric, row.interval),
            f"measured, {counted(row.draws, 'subset')}",
        )
        for row in curve.points
    ]
    forecast = [
        (
            f"{row.samples:,}",
            difference(metric, row.gain, sign=True),
            between(metric, row.interval),
            f"forecast, over {curve.samples:,} labels",
        )
        for row in curve.forecasts
    ]
    return Table(
        columns=columns("labels>", f"{metric_words(metric)}>", "95 % interval>", ""),
        rows=(*measured, *forecast),
    )


def _classes(curve: LearningCurve, names: Sequence[str], what: str) -> list[Block]:
    overall = curve.forecasts[0].gain if curve.forecasts else 0.0

    def name(row: ClassGain) -> str:
        return names[row.label] if row.label < len(names) else f"{what} {row.label}"

    more = [name(row) for row in curve.classes if row.interval.low > max(overall, 0.0)]
    less = [name(row) for row in curve.classes if row.interval.high < overall]
    text = f"{what.capitalize()} by {what}, with twice the labels of all: "
    if more or less:
        parts = [
            f"{', '.join(found[:SHOWN])}{' and others' if len(found) > SHOWN else ''} would gain "
            f"{how} than the rest"
            for found, how in ((more, "more"), (less, "less"))
            if found
        ]
        text += "; ".join(parts) + "."
    else:
        text += f"no {what} clearly gains more or less than the rest."
    return [
        Paragraph(text=text),
        Table(
            columns=columns(what, "labels>", "recall>", "gain>", "95 % interval>"),
            rows=tuple(
                (
                    name(row),
                    f"{row.samples:,}",
                    score("accuracy", row.recall),
                    difference("accuracy", row.gain, sign=True),
                    between("accuracy", row.interval),
                )
                for row in curve.classes[:SHOWN]
            ),
        ),
    ]


def _larger(found: SizeGain | None, metric: str) -> str:
    if found is None:
        return (
            "What a larger backbone would buy is not known: backbones of one size only were "
            "screened."
        )
    return (
        f"A larger backbone: {found.larger} ({amount(found.larger_parameters)} parameters) scored "
        f"{score(metric, found.larger_value)} and {found.smaller} "
        f"({amount(found.smaller_parameters)}) {score(metric, found.smaller_value)} with a ridge "
        f"head on the same {counted(found.samples, 'sample')}: "
        f"{difference(metric, found.gain, sign=True)} "
        f"({between(metric, found.interval)}) for {found.times:.1f} times the {found.unit}."
    )
