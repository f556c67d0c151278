"""The answer: what to use, how sure that is, what it costs and why; then the scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from automl_transfer.recommendation import Cost, HeldOutScore, Recommendation
from automl_transfer.report.blocks import Block, Facts, Heading, Paragraph, Table, columns
from automl_transfer.report.certainty import how_sure, is_held_out, place, winner_of
from automl_transfer.report.figures import (
    NOTHING,
    counted,
    differences,
    duration,
    interval,
    latency,
    metric_words,
    outputs,
    rate,
    room,
    score,
    took,
)
from automl_transfer.report.finalists import cost_words
from automl_transfer.report.gains import gains, is_gain
from automl_transfer.report.ranking import tally, trained


def answer_section(recommendation: Recommendation, data: Mapping[str, Any] | None) -> list[Block]:
    """What to use, and its scores beside those of the baselines."""
    chosen = recommendation.winner.configuration
    confirmation = recommendation.confirmation
    facts = [("How sure", how_sure(recommendation)), ("Cost", _cost(recommendation))]
    if confirmation is not None and confirmation.reason:
        facts.append(("Why", confirmation.reason))
    facts += gains(recommendation)
    section: list[Block] = [
        Heading(text="Answer"),
        Paragraph(
            text=f"Use {chosen.backbone} with the head {chosen.head} and the freeze strategy "
            f"{chosen.strategy}: {held_out_words(recommendation.metric, recommendation.test)}.",
            strong=True,
        ),
        Facts(items=tuple(facts)),
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
    cost = _known_cost(recommendation)
    rows = [
        ("the whole search", duration(recommendation.seconds)),
        ("its budget", recommendation.budget or NOTHING),
        ("trials", tally(Counter(recommendation.trials))),
        ("training of the winner's trial", took(winner.seconds)),
        (
            "parameters that the winner trained",
            trained(winner.trainable_parameters, winner.total_parameters),
        ),
    ]
    if cost is not None:
        rows += [
            ("device of what follows", cost.device),
            ("latency is the", cost.statistic),
            ("latency of the winner, one sample", latency(cost.latency)),
            (f"latency of the winner, batch of {cost.batch}", latency(cost.latency_batch)),
            (f"samples a second in batches of {cost.batch}", rate(cost.throughput)),
            ("size of the winner's weights", room(cost.bytes)),
            ("memory of the winner, one sample", room(cost.memory)),
        ]
    return [
        Heading(text="Cost"),
        Table(columns=columns("what", "cost>"), rows=tuple(rows)),
    ]


def held_out_words(metric: str, test: HeldOutScore) -> str:
    """The score, its interval, and on what it was measured."""
    figures = f"{score(metric, test.value)} {metric_words(metric)}"
    figures += f" ({interval(metric, test.interval)})"
    samples = counted(test.samples, "sample")
    if is_held_out(test):
        return f"{figures} on {samples} that the search never saw"
    if test.source == "validation":
        return (
            f"{figures} on {samples} of the validation part, on which it was chosen, corrected "
            "for that; there is no test part, and there was no time for fresh folds"
        )
    return (
        f"{figures} by cross-validation over {samples}, corrected for the choice among the "
        "finalists; there is no test part"
    )


def _known_cost(recommendation: Recommendation) -> Cost | None:
    """Of the winner; answers of earlier versions have it among the finalists alone."""
    finalist = winner_of(recommendation)
    return recommendation.cost or (finalist.cost if finalist is not None else None)


def _cost(recommendation: Recommendation) -> str:
    cost = _known_cost(recommendation)
    if cost is not None:
        return cost_words(cost)
    return f"{took(recommendation.winner.seconds)} of training; latency was not measured."


def _scores(recommendation: Recommendation) -> Table:
    metric, test, winner = recommendation.metric, recommendation.test, recommendation.winner
    where = place(test)
    rows: list[tuple[str, ...]] = [
        (
            f"the winner {where} ({counted(test.samples, 'sample')})",
            score(metric, test.value),
            interval(metric, test.interval),
            NOTHING,
            test.method
            or (_strictness(test.openings) if is_held_out(test) else "corrected for the choice"),
        ),
        (
            "the winner on the validation part",
            score(metric, winner.value),
            interval(metric, winner.interval),
            NOTHING,
            "optimistic: it was chosen on this",
        ),
    ]
    rows += [
        (
            f"{row.name}, {where}" if row.value is not None else row.name,
            score(metric, row.value),
            NOTHING,
            differences(metric, row.gain),
            row.description,
        )
        for row in recommendation.baselines
    ]
    heads = ["what", f"{metric_words(metric)}>", "95 % interval>", "the winner's lead>", ""]
    if not any(row.gain for row in recommendation.baselines):
        rows = [(*row[:3], row[4]) for row in rows]
        del heads[3]
    return Table(columns=columns(*heads), rows=tuple(rows))


def _strictness(openings: int) -> str:
    if openings == 1:
        return "the search never saw it"
    return f"scored {openings} times in this study: read it with some caution"


def _reading(recommendation: Recommendation) -> str:
    metric, test = recommendation.metric, recommendation.test
    sentences = [f"The metric is {metric_words(metric)}: {recommendation.metric_reason}."]
    if is_held_out(test) and test.method and test.openings != 1:
        sentences.append(f"The test part was {_strictness(test.openings)}.")
    verdict = _verdict(recommendation)
    if verdict:
        sentences.append(verdict)
    sentences.append(f"The saved model: {recommendation.refit_reason}.")
    return " ".join(sentences)


def _verdict(recommendation: Recommendation) -> str:
    """What is to be said when a simple yardstick is not clearly beaten; empty when all are."""
    metric, test = recommendation.metric, recommendation.test
    best = max(
        (row for row in recommendation.baselines if row.value is not None and not is_gain(row)),
        key=lambda row: -math.inf if row.value is None else row.value,
        default=None,
    )
    if best is None or best.value is None:
        return ""
    if best.gain is not None:
        low, high = best.gain.low, best.gain.high
        ends = f"the winner's lead is {differences(metric, best.gain)}"
    else:
        low, high = test.interval.low - best.value, test.interval.high - best.value
        ends = f"the winner's interval is {interval(metric, test.interval)}"
    if low > 0:
        return ""
    if high < 0:
        verdict = "is clearly worse than"
    elif best.value > test.value:
        verdict = "scored below"
    else:
        verdict = "is not clearly better than"
    return f"The winner {verdict} the baseline {best.name} ({score(metric, best.value)}; {ends})."


def _data(data: Mapping[str, Any]) -> str:
    counts = {part: int(number) for part, number in data.get("counts", {}).items()}
    classes = data.get("classes", ())
    parts = ", ".join(f"{number:,} {part}" for part, number in counts.items())
    what = outputs(data.get("kind", "single-label"), classes)
    return (
        f"The data: {counted(sum(counts.values()), 'sample')} with {what} "
        f"({data.get('layout', '')}); {parts} ({data.get('split_description', '')})."
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
