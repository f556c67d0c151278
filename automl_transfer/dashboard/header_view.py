"""The head of a study's page: the answer, how sure it is, how far the search has come."""

from __future__ import annotations

import math
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
    scored = [(row.value, row.name) for row in result.baselines if row.value is not None]
    value, name = max(scored, default=(-math.inf, ""))
    if value >= result.test.value:
        st.warning(
            f"A baseline is no worse: {code_span(name)} has "
            f"{score_text(result.metric, value)} on the same test samples. The search was "
            "too short, or these backbones do not suit the data."
        )
    test, chosen, yardstick, cost = st.columns(4)
    test.metric(f"{words}, test", score_text(result.metric, result.test.value))
    test.caption(
        "scored once"
        if result.test.openings == 1
        else f"scored {result.test.openings} times: a little optimistic"
    )
    chosen.metric(f"{words}, validation", score_text(result.metric, result.winner.value))
    chosen.caption("chosen on it: optimistic")
    yardstick.metric("best baseline, test", score_text(result.metric, value if scored else None))
    yardstick.caption(code_span(name) if scored else "none was scored")
    cost.metric("training of the winner", f"{result.winner.seconds:,.1f} s")
    cost.caption(f"of {counted(len(found.trials), 'trial', 'trials')}")
    with st.expander("Beside the baselines, and class by class (test)"):
        beside = rows.baselines(found)
        tables.table(
            beside.assign(value=tables.scaled(beside["value"], result.metric)),
            column_config={
                "value": st.column_config.NumberColumn(
                    words, format=tables.number_format(result.metric)
                )
            },
        )
        st.code(printable(result.test.report_text), language=None)
        st.text(printable(result.refit_reason))


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
