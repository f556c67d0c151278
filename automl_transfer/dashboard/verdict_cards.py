"""The answer in four cards: how good, how sure, what it costs, why."""

from __future__ import annotations

import streamlit as st

from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import (
    code_span,
    counted,
    interval_text,
    metric_words,
    plain,
    plain_word,
    score_text,
)
from automl_transfer.recommendation import Confirmation, Cost, Recommendation
from automl_transfer.report.certainty import is_behind, is_held_out, winner_of
from automl_transfer.report.figures import difference, latency, rate, room, share, took
from automl_transfer.report.gains import gains


def draw(study: Snapshot, result: Recommendation) -> None:
    """Draws the cards, side by side where there is room."""
    good, sure, cost, why = st.columns(4)
    with good.container(border=True):
        _good(result)
    with sure.container(border=True):
        _sure(result)
    with cost.container(border=True):
        _cost(study, result)
    with why.container(border=True):
        _why(result)


def best_baseline(result: Recommendation) -> tuple[float, str] | None:
    """Value and name of the best baseline that was run."""
    return max(
        ((row.value, row.name) for row in result.baselines if row.value is not None), default=None
    )


def _good(result: Recommendation) -> None:
    st.markdown("**How good**")
    crossed = not is_held_out(result.test)
    st.metric(
        f"{metric_words(result.metric)}, {plain_word(result.test.source)}",
        score_text(result.metric, result.test.value),
    )
    st.caption(f"95 % interval {interval_text(result.metric, result.test.interval)}")
    st.caption(_trust(result, crossed))
    chosen = score_text(result.metric, result.winner.value)
    st.text(f"On validation data: {chosen} (chosen on it: optimistic)")
    best = best_baseline(result)
    if best is None:
        st.text("No baseline was scored.")
    else:
        st.text(f"Best baseline: {score_text(result.metric, best[0])} ({plain(best[1])})")


def _trust(result: Recommendation, crossed: bool) -> str:
    if crossed:
        return "corrected for the choice"
    openings = result.test.openings
    return "scored once" if openings == 1 else f"scored {openings} times: a little optimistic"


def _sure(result: Recommendation) -> None:
    st.markdown("**How sure**")
    found = result.confirmation
    if found is None or not found.finalists:
        st.text(
            "The best trials were not compared on fresh folds: the order of those that lie close "
            "together may be chance."
        )
        return
    tied = [one for one in found.finalists if not is_behind(one)]
    winner = winner_of(result)
    if winner is not None:
        st.metric("chance to be the best finalist", share(winner.p_best))
    if len(tied) > 1:
        st.text(f"No difference is shown to {counted(len(tied) - 1, 'other finalist')}.")
    elif len(found.finalists) > 1:
        st.text("It beats all other finalists.")
    if found.minimum_detectable is not None:
        st.caption(
            f"{counted(found.samples, 'sample')}: differences below "
            f"{difference(result.metric, found.minimum_detectable)} would not have been seen."
        )


def _cost(study: Snapshot, result: Recommendation) -> None:
    st.markdown("**What it costs**")
    cost = _known(result)
    if cost is None:
        st.metric("training of the winner", took(result.winner.seconds))
        st.text("Latency was not measured.")
    else:
        st.metric("latency, one sample", latency(cost.latency))
        many = f", {rate(cost.throughput)} in batches" if cost.batch > 1 else ""
        st.text(
            f"{room(cost.bytes)} of weights, {room(cost.memory)} of memory{many}; "
            f"{took(cost.training)} of training"
        )
        st.text(plain(f"Latency: {cost.statistic}, on {cost.device}"))
    spent = took(result.seconds)
    st.caption(f"The search: {spent} for {counted(len(study.trials), 'trial', 'trials')}.")


def _known(result: Recommendation) -> Cost | None:
    finalist = winner_of(result)
    return result.cost or (finalist.cost if finalist is not None else None)


def _short(found: Confirmation) -> str:
    """The reason with numbers of trials alone: the table below says what each is."""
    reason = found.reason
    for one in found.finalists:
        reason = reason.replace(f" ({one.configuration.title})", "")
    return reason


def _why(result: Recommendation) -> None:
    st.markdown("**Why**")
    found = result.confirmation
    if found is not None and found.reason:
        st.text(plain(_short(found)))
    else:
        st.text("It scored best on the validation data.")
    for title, text in gains(result):
        # Why one was not measured stands beside the baselines.
        said = "not measured" if text.startswith("not ") else text
        st.caption(f"{code_span(title)}: {plain(said)}")
