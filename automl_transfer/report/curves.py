"""Learning curves of the configurations that came into question."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.blocks import (
    Axis,
    Block,
    Chart,
    Heading,
    Paragraph,
    Series,
    Table,
    columns,
)
from automl_transfer.report.figures import in_per_cent, metric_words, score
from automl_transfer.report.ranking import epochs
from automl_transfer.report.trial import sparkline

MOST = 7
"""Curves in one chart; more cannot be told apart."""


def curves_section(recommendation: Recommendation, outcomes: Sequence[Outcome]) -> list[Block]:
    """Curves of the finalists, or of the first trials of the ranking; empty where nothing trained
    for several epochs."""
    found = recommendation.confirmation
    numbers = [row.number for row in (found.finalists if found else recommendation.ranking)]
    by_number = {row.number: row for row in outcomes}
    rows = [by_number[number] for number in numbers[:MOST] if number in by_number]
    rows = [row for row in rows if len(row.curve) > 1]
    if not rows:
        return []
    metric = recommendation.metric
    return [
        Heading(text="Learning curves"),
        Paragraph(
            text=f"Of {'the finalists' if found else 'the best trials'}, on the validation part; "
            "closed-form heads have no curve."
        ),
        Table(
            columns=columns(
                "trial>", "configuration", "epochs>", f"{metric_words(metric)}, last>", "curve"
            ),
            rows=tuple(
                (
                    str(row.number),
                    row.configuration.title,
                    epochs(row),
                    score(metric, row.curve[-1].value),
                    sparkline([point.value for point in row.curve]),
                )
                for row in rows
            ),
        ),
        Chart(
            title="Learning curves",
            description=f"{metric_words(metric).capitalize()} on the validation part by epoch, "
            "a line for each trial of the table above.",
            x=Axis(name="epoch"),
            y=Axis(name=metric_words(metric), share=in_per_cent(metric)),
            series=tuple(
                Series(
                    name=f"trial {row.number}: {row.configuration.title}",
                    kind="line",
                    x=tuple(float(point.epoch) for point in row.curve),
                    y=tuple(point.value for point in row.curve),
                )
                for row in rows
            ),
        ),
    ]
