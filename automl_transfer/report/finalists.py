"""The finalists side by side: tiers instead of places, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.recommendation import Confirmation, Cost, Ensemble, Finalist, Recommendation
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
from automl_transfer.report.certainty import is_behind
from automl_transfer.report.figures import (
    NOTHING,
    between,
    differences,
    in_per_cent,
    interval,
    latency,
    metric_words,
    rate,
    room,
    score,
    share,
    took,
)

_WIDE = 8.0
"""Latencies that are further apart than this ratio are drawn on a logarithmic axis."""


def finalists_section(recommendation: Recommendation) -> list[Block]:
    """The table, how to read it, and score against latency; empty without a confirmation."""
    found = recommendation.confirmation
    if found is None or not found.finalists:
        return []
    section: list[Block] = [
        Heading(text="Finalists"),
        Paragraph(
            text="The best of a kind (backbone, head, strategy) each: of the three kinds that are "
            "worth most on the validation part without the luck of many trials, of the best one "
            "there, and of cheap ones level with it. Trained again with fresh seeds and scored on "
            "fresh folds. Tier 1: the best, and those of which no difference to it is shown; tier "
            "2: those that are shown to be behind it. Of those in tier 1 that scored nearly as "
            f"well, {found.prefer} decides."
        ),
        finalists_table(recommendation, found),
    ]
    chart = front_chart(recommendation.metric, found.finalists)
    if chart is not None:
        section += [
            Paragraph(
                text="Front: no other finalist is both faster and better by score (scores "
                "within a tier may differ by chance)."
            ),
            chart,
        ]
    if recommendation.ensemble is not None:
        section.append(Paragraph(text=_ensemble(recommendation.metric, recommendation.ensemble)))
    return section


def _ensemble(metric: str, found: Ensemble) -> str:
    members = " and ".join(
        f"trial {number} ({100 * weight:.0f} %)" for number, weight in found.members.items()
    )
    lead = differences(metric, found.lead)
    if found.lead.low > 0:
        said = "better"
    else:
        said = "worse" if found.lead.high < 0 else "no difference is shown"
    text = (
        f"Not the answer, but known: an average of {members} has {score(metric, found.value)} on "
        "the same samples, by weights chosen on others; its lead over the winner is "
        f"{lead}: {said}"
    )
    if found.latency is not None and found.bytes is not None:
        text += f". It takes {latency(found.latency)} for one sample, and {room(found.bytes)}"
    return f"{text}."


def finalists_table(recommendation: Recommendation, found: Confirmation) -> Table:
    """A row for each finalist, best confirmed score first."""
    metric = recommendation.metric
    front = {row.number for row in pareto_front(found.finalists)}
    rows = []
    for row in found.finalists:
        rows.append(
            (
                "2" if is_behind(row) else "1",
                str(row.number),
                row.configuration.backbone,
                row.configuration.head,
                row.configuration.strategy,
                score(metric, row.selected_on),
                score(metric, row.value),
                interval(metric, row.interval),
                between(metric, row.behind) if row.behind else NOTHING,
                share(row.p_best),
                *_costs(row.cost),
                ", ".join(
                    word
                    for word, holds in (
                        ("winner", row.number == recommendation.winner.number),
                        ("front", row.number in front),
                    )
                    if holds
                ),
            )
        )
    return Table(
        columns=columns(
            "tier>",
            "trial>",
            "backbone",
            "head",
            "strategy",
            "when chosen>?",
            f"{metric_words(metric)}, confirmed>",
            "95 % interval>",
            f"behind the best{' (points)' if in_per_cent(metric) else ''}>?",
            "P(best)>",
            "latency>",
            "in batches>?",
            "size>?",
            "",
        ),
        rows=tuple(rows),
    )


def pareto_front(finalists: Sequence[Finalist]) -> list[Finalist]:
    """Finalists that no other dominates in score and latency, fastest first.

    One dominates another if it is at least as good in both and better in one. Those without a
    cost take no part.
    """
    timed = [(row.cost.latency, -row.value, row) for row in finalists if row.cost is not None]
    front: list[Finalist] = []
    best = float("inf")
    for _, loss, row in sorted(timed, key=lambda one: one[:2]):
        if loss < best:
            front.append(row)
            best = loss
    return front


def front_chart(metric: str, finalists: Sequence[Finalist]) -> Chart | None:
    """Score against latency; None where fewer than two finalists have a cost."""
    timed = [(row, row.cost.latency) for row in finalists if row.cost is not None]
    if len(timed) < 2:
        return None
    front = [(row, row.cost.latency) for row in pareto_front(finalists) if row.cost is not None]
    times = [seconds for _, seconds in timed]
    wide = min(times) > 0 and max(times) / min(times) > _WIDE
    return Chart(
        title="Score against latency",
        description="Each point is a finalist with its 95 % interval, by the number of its trial. "
        "On the front, from the fastest: trials "
        f"{', '.join(str(row.number) for row, _ in front)}.",
        x=Axis(name="milliseconds for a batch of one", logarithmic=wide),
        y=Axis(name=metric_words(metric), share=in_per_cent(metric)),
        series=(
            Series(
                name="Pareto front",
                kind="steps",
                x=tuple(1000 * seconds for _, seconds in front),
                y=tuple(row.value for row, _ in front),
            ),
            Series(
                name="finalists",
                kind="points",
                x=tuple(1000 * seconds for seconds in times),
                y=tuple(row.value for row, _ in timed),
                low=tuple(row.interval.low for row, _ in timed),
                high=tuple(row.interval.high for row, _ in timed),
                marks=tuple(str(row.number) for row, _ in timed),
            ),
        ),
    )


def cost_words(cost: Cost) -> str:
    """What a configuration costs, in one sentence."""
    many = ""
    if cost.batch > 1:
        many = (
            f", {latency(cost.latency_batch)} for a batch of {cost.batch} "
            f"({rate(cost.throughput)})"
        )
    return (
        f"{latency(cost.latency)} for one sample{many}, each the {cost.statistic}, on "
        f"{cost.device}; "
        f"{room(cost.bytes)} of weights; {room(cost.memory)} of memory for one sample; "
        f"{took(cost.training)} of training."
    )


def _costs(cost: Cost | None) -> tuple[str, str, str]:
    if cost is None:
        return (NOTHING, NOTHING, NOTHING)
    return (latency(cost.latency), rate(cost.throughput), room(cost.bytes))
