"""Trials as rows of a ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from automl_transfer.outcome import Outcome, finished
from automl_transfer.recommendation import RankedTrial, Recommendation
from automl_transfer.report.blocks import Block, Heading, Paragraph, Table, columns
from automl_transfer.report.figures import (
    NOTHING,
    amount,
    counted,
    interval,
    metric_words,
    score,
    took,
)

TOP = 20
OPTIMISTIC = (
    "These figures are from the validation part, on which the trials were also chosen: they are "
    "optimistic, the more so the more trials there were."
)
EXPECT = "What to expect is told by samples that took no part in the choice of the finalists."
FIRST = "The finalists come first, whatever they had on the validation part."


def ranking_section(recommendation: Recommendation, limit: int = TOP) -> list[Block]:
    """The ranking, and how far to trust it."""
    rows = recommendation.ranking[:limit]
    section: list[Block] = [
        Heading(text="Ranking"),
        ranking_table(rows, recommendation.metric),
        Paragraph(text=_caution(recommendation)),
    ]
    close = within_reach(recommendation)
    if close:
        section.append(
            Paragraph(
                text=f"{counted(close, 'other trial lies', 'other trials lie')} inside the "
                "winner's interval: their order may be chance."
            )
        )
    if len(rows) < len(recommendation.ranking):
        section.append(
            Paragraph(
                text=f"The first {len(rows)} of {len(recommendation.ranking)} finished trials."
            )
        )
    return section


def _caution(recommendation: Recommendation) -> str:
    if recommendation.confirmation is None:
        return OPTIMISTIC
    return f"{FIRST} {OPTIMISTIC} {EXPECT}"


def within_reach(recommendation: Recommendation) -> int:
    """How many other trials lie inside the winner's validation interval."""
    winner = recommendation.winner
    if winner.interval is None:
        return 0
    low = winner.interval.low
    return sum(row.number != winner.number and row.value >= low for row in recommendation.ranking)


def ranking_table(rows: Sequence[RankedTrial], metric: str) -> Table:
    """The final ranking."""
    return Table(
        columns=columns(
            "rank>",
            "backbone",
            "head",
            "strategy",
            f"{metric_words(metric)} (validation)>",
            "95 % interval>",
            "confirmed>?",
            "trained>?",
            "time>",
            "trial>?",
        ),
        rows=tuple(
            (
                str(row.rank),
                row.configuration.backbone,
                row.configuration.head,
                row.configuration.strategy,
                score(metric, row.value),
                interval(metric, row.interval),
                score(metric, row.confirmed),
                trained(row.trainable_parameters, row.total_parameters),
                took(row.seconds),
                str(row.number),
            )
            for row in rows
        ),
    )


def trained(trainable: int, total: int) -> str:
    """``12.8k of 3.4M``; a dash when it was not measured."""
    return f"{amount(trainable)} of {amount(total)}" if total else NOTHING


def epochs(row: Outcome) -> str:
    """``3 of 5``; a head on frozen features has epochs, but was promised none."""
    done = max((point.epoch for point in row.curve), default=0)
    return f"{done} of {row.epochs}" if done < row.epochs else str(done)


def provisional_table(outcomes: Iterable[Outcome], metric: str, limit: int = TOP) -> Table:
    """The best finished trials so far, without intervals."""
    return Table(
        columns=columns(
            "rank>",
            "backbone",
            "head",
            "strategy",
            f"{metric_words(metric)} (validation)>",
            "epochs>?",
            "time>",
            "trial>",
        ),
        rows=tuple(
            (
                str(rank),
                row.configuration.backbone,
                row.configuration.head,
                row.configuration.strategy,
                score(metric, row.value),
                epochs(row),
                took(row.seconds),
                str(row.number),
            )
            for rank, row in enumerate(finished(outcomes)[:limit], start=1)
        ),
    )


def trials_table(outcomes: Iterable[Outcome], metric: str) -> Table:
    """Every trial by number."""
    return Table(
        columns=columns(
            "trial>",
            "stage?",
            "state",
            "backbone",
            "head",
            "strategy",
            f"{metric_words(metric)} (validation)>",
            "epochs>?",
            "time>",
            "reason",
        ),
        rows=tuple(
            (
                str(row.number),
                row.stage,
                row.state,
                row.configuration.backbone,
                row.configuration.head,
                row.configuration.strategy,
                score(metric, row.value),
                epochs(row),
                took(row.seconds),
                row.reason or "",
            )
            for row in outcomes
        ),
    )


def tally(counts: Counter[str]) -> str:
    """``12 finished, 3 pruned, 1 failed``."""
    states = ("finished", "pruned", "failed")
    return ", ".join(f"{counts[state]} {state}" for state in states)


def is_final(recommendation: Recommendation | None, outcomes: Iterable[Outcome]) -> bool:
    """Whether the answer covers every finished trial; a search that is resumed adds new ones."""
    if recommendation is None:
        return False
    ranked = {row.number for row in recommendation.ranking}
    return all(row.number in ranked for row in outcomes if row.state == "finished")
