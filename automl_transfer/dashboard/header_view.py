"""The head of a study's page: the answer, how sure it is, how far the search has come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import answer, cached, rows, tables
from automl_transfer.dashboard.snapshot import STANDING_WORDS, Snapshot, Standing, Unreadable
from automl_transfer.dashboard.wording import (
    code_span,
    counted,
    metric_words,
    plain,
    printable,
    score_text,
)
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.certainty import how_sure, is_held_out
from automl_transfer.report.figures import took

_COLOURS: Mapping[Standing, str] = {
    "running": "blue",
    "quiet": "orange",
    "interrupted": "orange",
    "finished": "green",
    "failed": "red",
    "unknown": "gray",
}


def show(directory: Path, before: Standing) -> None:
    """Draws the head of a study's page, and the whole page anew when the search ended or went on.

    Args:
        directory: Where the study lies.
        before: What the search was doing when the rest of the page was drawn.
    """
    found = current(directory)
    if found is None:
        return
    standing = found.standing()
    if standing != before:
        st.rerun()  # The search has ended, or gone on: the whole page is another.
    badges = st.container(horizontal=True)
    badges.badge(STANDING_WORDS[standing], color=_COLOURS[standing])  # type: ignore[arg-type]
    if answer.is_provisional(found):
        badges.badge("provisional", color="orange")
    st.markdown(f"#### {answer.sentence(found)}")
    share, text = answer.progress(found)
    if share is not None and standing in ("running", "quiet", "interrupted"):
        st.progress(share)
    st.text(text)
    _under_way(found)
    _resume(found)
    if found.recommendation is not None and found.is_final:
        _verdict(found, found.recommendation)
    _failed(found)


def _under_way(found: Snapshot) -> None:
    for trial in found.everything:
        if trial.state == "running":
            last = trial.curve[-1] if trial.curve else None
            epochs = f"epoch {last.epoch} of {trial.epochs}" if last else "starting"
            value = f", {score_text(found.metric, last.value)}" if last else ""
            title = plain(trial.configuration.title)
            st.text(f"Running: trial {trial.number}, {title} ({epochs}{value})")


def _resume(found: Snapshot) -> None:
    standing = found.standing()
    if standing == "quiet":
        st.warning("The search has not written for a while. If it was killed, resume it with:")
    elif standing == "interrupted":
        st.info("The search was interrupted and nothing is lost. Resume it with:")
    elif standing == "failed":
        st.error("The search ended without an answer.")
        why = found.status.get("reason") or found.status.get("error")
        if why:
            st.code(printable(why), language=None, wrap_lines=True)
        st.text("Once its cause is mended, resume it with:")
    else:
        return
    st.code(plain(found.command), language=None, wrap_lines=True)


def _verdict(found: Snapshot, result: Recommendation) -> None:
    words = metric_words(result.metric)
    crossed = not is_held_out(result.test)
    where, samples = result.test.source, "samples" if crossed else "test samples"
    best = max(
        ((row.value, row.name) for row in result.baselines if row.value is not None), default=None
    )
    if best is not None and best[0] >= result.test.value:
        st.warning(
            f"A baseline is no worse: {code_span(best[1])} has "
            f"{score_text(result.metric, best[0])} on the same {samples}. The search was "
            "too short, or these backbones do not suit the data."
        )
    test, chosen, yardstick, cost = st.columns(4)
    test.metric(f"{words}, {where}", score_text(result.metric, result.test.value))
    test.caption(_trust(result, crossed))
    chosen.metric(f"{words}, validation", score_text(result.metric, result.winner.value))
    chosen.caption("chosen on it: optimistic")
    yardstick.metric(
        f"best baseline, {where}", score_text(result.metric, best[0] if best else None)
    )
    yardstick.caption(code_span(best[1]) if best else "none was scored")
    cost.metric("training of the winner", took(result.winner.seconds))
    cost.caption(f"of {counted(len(found.trials), 'trial', 'trials')}")
    _finalists(found, result)
    detail = {"single-label": ", and class by class", "multi-label": ", and label by label"}
    with st.expander(f"Beside the baselines{detail.get(result.kind, '')}"):
        beside = rows.baselines(found)
        tables.table(
            beside.assign(value=tables.scaled(beside["value"], result.metric)),
            column_config={
                "value": st.column_config.NumberColumn(
                    words, format=tables.number_format(result.metric)
                )
            },
        )
        if result.test.report_text:
            st.code(printable(result.test.report_text), language=None)
        st.text(printable(result.refit_reason))


def _trust(result: Recommendation, crossed: bool) -> str:
    if crossed:
        return "corrected for the choice"
    openings = result.test.openings
    return "scored once" if openings == 1 else f"scored {openings} times: a little optimistic"


def _finalists(found: Snapshot, result: Recommendation) -> None:
    finalists = rows.finalists(found)
    if finalists.empty:
        return
    st.text(plain(how_sure(result)))
    with st.expander(f"The {len(finalists)} finalists, on fresh folds", expanded=True):
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


def _failed(found: Snapshot) -> None:
    groups = rows.failures(found)
    if groups.empty:
        return
    count = counted(int(groups["trials"].sum()), "trial", "trials")
    everything = not found.best_first
    title = f"{count} of {len(found.trials):,} failed, by reason"
    with st.expander(title, expanded=everything):
        tables.table(
            groups,
            column_config={
                "trials": st.column_config.NumberColumn("trials", width="small"),
                "reason": st.column_config.TextColumn("reason", width="large"),
            },
        )


def current(directory: Path) -> Snapshot | None:
    """The study now; None, and a word about it, while it cannot be read."""
    found = cached.snapshot(directory)
    if isinstance(found, Unreadable):
        st.warning("The study cannot be read just now; the page tries again.")
        st.code(printable(found.reason), language=None, wrap_lines=True)
        return None
    return found
