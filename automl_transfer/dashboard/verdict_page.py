"""Which one to use, how sure that is, what it costs, and why."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from automl_transfer.constraints import PREFERENCES, Preference
from automl_transfer.dashboard import (
    address,
    answer,
    downloads,
    next_step,
    places,
    status,
    tables,
    verdict_cards,
    verdict_rows,
)
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import fragment, guarded
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import (
    code_span,
    counted,
    in_per_cent,
    interval_text,
    metric_words,
    outputs,
    plain,
    printable,
    score_text,
)
from automl_transfer.recommendation import Finalist, Recommendation
from automl_transfer.report.certainty import how_sure, is_held_out
from automl_transfer.report.figures import difference, latency, room, took
from automl_transfer.stages.choose import chosen_by, why

FEW = 50
"""Samples on which a score says little."""
COARSE = 0.1
"""A ranking that cannot show differences of this size is none."""


def draw(view: View) -> None:
    """Draws the page."""
    study = view.study
    if study.standing() in ("running", "quiet"):
        directory = study.directory
        fragment("The answer", lambda: _live(status.current(directory)), every=status.every(study))
    else:
        _live(study)
    guarded("The answer", lambda: _answer(view))
    guarded("What to try next", lambda: _next(study))
    guarded("What can be downloaded", lambda: downloads.draw(view))


def _answer(view: View) -> None:
    study = view.study
    result = study.recommendation
    if result is None or not study.is_final:
        _provisional(view)
        return
    _too_small(result)
    _baseline_is_no_worse(result)
    verdict_cards.draw(study, result)
    _preference(view, result)
    _finalists(view, result)
    _beside(study, result)


def _live(study: Snapshot | None) -> None:
    if study is not None:
        st.markdown(f"#### {answer.sentence(study)}")


def _provisional(view: View) -> None:
    study = view.study
    best = study.best_first[:5]
    if not best:
        _nothing_finished(view)
        return
    st.warning(
        "This is provisional: the best of many on the data that they were chosen on looks better "
        "than it is, and the order of those that lie close together may be chance."
    )
    st.markdown("**The best so far**")
    for trial in best:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"{score_text(study.metric, trial.value)}  {plain(trial.title)}")
            places.link("trial", f"trial {trial.number}", study=view.name, trial=trial.number)


def _nothing_finished(view: View) -> None:
    study = view.study
    failed = [trial for trial in study.trials if trial.state == "failed"]
    if failed and len(failed) == len(study.trials):
        st.error("Every trial failed. Their reasons, by number, are on the page Search:")
        places.link("search", "What failed, and what to do", study=view.name)
    elif study.data:
        st.text("No trial has finished yet. What is known of the data:")
        places.link("data", "The data", study=view.name)


def _too_small(result: Recommendation) -> None:
    found = result.confirmation
    least = found.minimum_detectable if found is not None else None
    few = result.test.samples < FEW
    if not few and not (least is not None and in_per_cent(result.metric) and least > COARSE):
        return
    text = f"Too small to rank: the score rests on {counted(result.test.samples, 'sample')}"
    if least is not None:
        text += f", and differences below {difference(result.metric, least)} could not be seen"
    st.warning(f"{text}. Choose among the best by what they cost, or label more samples.")


def _baseline_is_no_worse(result: Recommendation) -> None:
    best = verdict_cards.best_baseline(result)
    if best is not None and best[0] >= result.test.value:
        samples = "test samples" if is_held_out(result.test) else "samples"
        st.warning(
            f"A baseline is no worse: {code_span(best[1])} has "
            f"{score_text(result.metric, best[0])} on the same {samples}. The search was "
            "too short, or these backbones do not suit the data."
        )


def _preference(view: View, result: Recommendation) -> None:
    found = result.confirmation
    if found is None or len(found.finalists) < 2:
        return
    known = [one for one in PREFERENCES if one == "accuracy" or _costed(found.finalists)]
    asked = address.text("prefer")
    now: Preference = next(
        (one for wanted in (asked, found.prefer) for one in known if one == wanted), "accuracy"
    )
    st.session_state["prefer"] = now
    st.segmented_control(
        "Among those that no test tells apart, what counts?",
        known,
        key="prefer",
        on_change=lambda: address.put(prefer=st.session_state["prefer"] or now),
    )
    point = 0.01 * verdict_rows.unit(view.study)
    chosen = chosen_by(found, now, view.study.request.tolerance, point)
    reason = why(found.finalists, chosen, now, tolerance=view.study.request.tolerance, point=point)
    if chosen.number == result.winner.number:
        st.text(f"The same: trial {chosen.number}. {plain(reason)}")
        return
    st.markdown(
        f"Then it is trial {chosen.number}, {answer.configuration_words(chosen.configuration)}: "
        f"**{score_text(result.metric, chosen.value)}** "
        f"({interval_text(result.metric, chosen.interval)}) on fresh folds{_cost(chosen)}."
    )
    st.text(plain(reason))
    st.text("The model that is saved is the recommended one. To have this one trained and tested:")
    other = replace(
        view.study.request, prefer=now, study=f"{view.study.request.name}-{now}"
    ).command
    st.code(plain(other), language=None, wrap_lines=True)


def _costed(finalists: tuple[Finalist, ...]) -> bool:
    return all(one.cost is not None for one in finalists)


def _cost(chosen: Finalist) -> str:
    cost = chosen.cost
    if cost is None:
        return ""
    return (
        f"; {latency(cost.latency)} a sample, {room(cost.bytes)}, {room(cost.memory)} of memory, "
        f"{took(cost.training)} of training"
    )


def _finalists(view: View, result: Recommendation) -> None:
    finalists = verdict_rows.finalists(view.study)
    if finalists.empty:
        return
    st.markdown(f"**The {len(finalists)} finalists, on fresh folds**")
    st.text(plain(how_sure(result)))
    column = st.column_config
    form = tables.number_format(result.metric)
    scaled = {
        name: tables.scaled(finalists[name], result.metric) for name in ("chosen", "confirmed")
    }
    tables.table(
        finalists.assign(**scaled, p_best=100 * finalists["p_best"]),
        column_config={
            "tier": column.NumberColumn(
                "tier", width="small", help="1: no difference to the best is shown."
            ),
            "chosen": column.NumberColumn("when chosen", format=form),
            "confirmed": column.NumberColumn(
                f"{metric_words(result.metric)}, confirmed", format=form
            ),
            "p_best": column.NumberColumn("P(best)", format="%.0f %%"),
        },
    )
    ids = ",".join(str(number) for number in finalists["trial"].head(4))
    places.link("compare", "Compare the finalists", study=view.name, ids=ids)


def _beside(study: Snapshot, result: Recommendation) -> None:
    detail = {"single-label": ", and class by class", "multi-label": ", and label by label"}
    with st.expander(f"Beside the baselines{detail.get(result.kind, '')}"):
        beside = verdict_rows.baselines(study)
        tables.table(
            beside.assign(value=tables.scaled(beside["value"], result.metric)),
            column_config={
                "value": st.column_config.NumberColumn(
                    metric_words(result.metric), format=tables.number_format(result.metric)
                )
            },
        )
        if result.test.report_text:
            st.code(printable(result.test.report_text), language=None)
        st.text(printable(result.refit_reason))
        st.text(f"Predicted: {outputs(result.kind, study.classes)}.")


def _next(study: Snapshot) -> None:
    if study.standing() == "running":
        return
    found = next_step.steps(study)
    if not found:
        return
    st.markdown("**What would change the answer?**")
    for step in found:
        st.text(plain(f"{step.what} {step.expect}"))
        if step.command:
            st.code(plain(step.command), language=None, wrap_lines=True)
