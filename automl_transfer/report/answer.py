"""The answer: what to use, how good it is, against what, at what cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from automl_transfer.recommendation import Recommendation
from automl_transfer.report.blocks import Block, Heading, Paragraph, Table, columns
from automl_transfer.report.figures import (
    NOTHING,
    counted,
    duration,
    interval,
    metric_words,
    score,
)
from automl_transfer.report.ranking import tally, trained


def answer_section(recommendation: Recommendation, data: Mapping[str, Any] | None) -> list[Block]:
    """What to use, and its scores beside those of the baselines."""
    chosen = recommendation.winner.configuration
    section: list[Block] = [
        Heading(text="Answer"),
        Paragraph(
            text=f"Use {chosen.backbone} with the head {chosen.head} and the freeze strategy "
            f"{chosen.strategy}.",
            strong=True,
        ),
        _scores(recommendation),
        Paragraph(text=_reading(recommendation)),
    ]
    if data:
        section.append(Paragraph(text=_data(data)))
    if chosen.params:
        section += [
            Paragraph(text="Its hyper-parameters:"),
            Table(
                columns=columns("hyper-parameter", "value>"),
                rows=tuple((name, _value(value)) for name, value in sorted(chosen.params.items())),
            ),
        ]
    return section


def cost_section(recommendation: Recommendation) -> list[Block]:
    """What the search and its winner cost."""
    winner = recommendation.winner
    return [
        Heading(text="Cost"),
        Table(
            columns=columns("what", "cost>"),
            rows=(
                ("the whole search", duration(recommendation.seconds)),
                ("its budget", recommendation.budget or NOTHING),
                ("trials", tally(Counter(recommendation.trials))),
                ("training of the winner's trial", duration(winner.seconds)),
                (
                    "parameters that the winner trained",
                    trained(winner.trainable_parameters, winner.total_parameters),
                ),
            ),
        ),
    ]


def _scores(recommendation: Recommendation) -> Table:
    metric, test, winner = recommendation.metric, recommendation.test, recommendation.winner
    rows = [
        (
            f"the winner on the test part ({counted(test.samples, 'sample')})",
            score(metric, test.value),
            interval(metric, test.interval),
            _strictness(test.openings),
        ),
        (
            "the winner on the validation part",
            score(metric, winner.value),
            interval(metric, winner.interval),
            "optimistic: it was chosen on this",
        ),
    ]
    rows += [
        (f"{row.name}, on the test part", score(metric, row.value), "", row.description)
        for row in recommendation.baselines
        if row.value is not None
    ]
    return Table(
        columns=columns("what", f"{metric_words(metric)}>", "95 % interval>", ""), rows=tuple(rows)
    )


def _strictness(openings: int) -> str:
    if openings == 1:
        return "the search never saw it"
    return f"scored {openings} times in this study: read it with some caution"


def _reading(recommendation: Recommendation) -> str:
    metric, test = recommendation.metric, recommendation.test
    sentences = [f"The metric is {metric_words(metric)}: {recommendation.metric_reason}."]
    scored = [(row.value, row.name) for row in recommendation.baselines if row.value is not None]
    value, name = max(scored, default=(-math.inf, ""))
    if value >= test.interval.low:
        if value > test.interval.high:
            verdict = "is clearly worse than"
        elif value > test.value:
            verdict = "scored below"
        else:
            verdict = "is not clearly better than"
        sentences.append(
            f"The winner {verdict} the baseline {name} ({score(metric, value)}; the "
            f"winner's interval is {interval(metric, test.interval)})."
        )
    sentences.append(f"The saved model: {recommendation.refit_reason}.")
    return " ".join(sentences)


def _data(data: Mapping[str, Any]) -> str:
    counts = {part: int(number) for part, number in data.get("counts", {}).items()}
    classes = data.get("classes", ())
    parts = ", ".join(f"{number:,} {part}" for part, number in counts.items())
    return (
        f"The data: {counted(sum(counts.values()), 'sample')} in "
        f"{counted(len(classes), 'class', 'classes')} ({data.get('layout', '')}); {parts} "
        f"({data.get('split_description', '')})."
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
