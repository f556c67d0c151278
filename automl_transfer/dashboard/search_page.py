"""How the search went, and whether it is still improving."""

from __future__ import annotations

import streamlit as st

from automl_transfer.dashboard import (
    bound,
    charts,
    progress_view,
    rows,
    search_rows,
    status,
    tables,
)
from automl_transfer.dashboard.budget_view import budget
from automl_transfer.dashboard.drawing import drawn
from automl_transfer.dashboard.failures_view import failures
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import fragment, guarded
from automl_transfer.dashboard.importance_view import mattered
from automl_transfer.dashboard.sections import section
from automl_transfer.dashboard.snapshot import Snapshot, outcomes
from automl_transfer.dashboard.tried_view import tried
from automl_transfer.dashboard.wording import counted, plain

_SECTIONS = {
    "tried": "What was tried",
    "curves": "Learning curves",
    "mattered": "What mattered",
    "screened": "Screened out",
    "failed": "Failed and pruned",
    "budget": "Budget",
    "notes": "Notes",
}
_ALL = ""


def draw(view: View) -> None:
    """Draws the page."""
    study = view.study
    directory, name = view.directory, view.name
    fragment(
        "The progress", lambda: progress_view.draw(directory, name), every=status.every(study)
    )
    chosen = section("Sections", "section", _SECTIONS)
    guarded("This section", lambda: _section(view, chosen))


def _section(view: View, chosen: str) -> None:
    study = view.study
    if chosen == "tried":
        tried(view)
    elif chosen == "curves":
        _curves(study)
    elif chosen == "mattered":
        mattered(study)
    elif chosen == "screened":
        _screened(study)
    elif chosen == "failed":
        failures(view)
    elif chosen == "budget":
        budget(study)
    else:
        _notes(study)


def _curves(study: Snapshot) -> None:
    trained = [trial for trial in study.everything if trial.done > 1]
    if not trained:
        st.info("No trial has trained for several epochs: only those have a learning curve.")
        return
    # Few names, of thousands of trials.
    known = {name: plain(name) for name in {trial.backbone for trial in trained}}
    options = {_ALL: "all backbones", **{name: name for name in sorted(known.values())}}
    asked = bound.choice("Backbone", "curves", options)
    backbone = None if asked == _ALL else asked
    others, pruned = search_rows.with_curves(trained, backbone)
    frame = rows.curves(outcomes(study, [*others, *pruned]))
    if frame.empty:
        st.info("These curves cannot be read just now.")
        return
    of = [one for one in trained if backbone is None or known[one.backbone] == backbone]
    early = sum(one.state == "pruned" for one in of)
    drawn(
        charts.curves(frame, study.metric),
        f"Drawn are the best {len(others):,} of {len(of) - early:,} trials that went on and the "
        f"best {len(pruned):,} of {early:,} that were pruned. A dotted line was pruned, a dashed "
        "one is running; colour and shape are the strategy's.",
    )


def _screened(study: Snapshot) -> None:
    screened, missing = search_rows.screen(study), search_rows.why_not(study)
    if screened.empty:
        st.text("No backbone has been screened yet.")
    else:
        stopped = int(screened["verdict"].fillna("").str.startswith("stopped").sum())
        looked = counted(len(screened), "backbone was", "backbones were")
        st.text(
            f"{looked} scored by frozen features before any training; {stopped} of them went no "
            "further."
        )
        score = st.column_config.NumberColumn(format="%.4f")
        by = {name: score for name in screened.columns if name.startswith("by ")}
        seconds = st.column_config.NumberColumn(format="%.1f")
        tables.table(
            screened,
            column_config={
                "score": st.column_config.NumberColumn(
                    format="%.4f", help="By the ranker that decides; the others are beside it."
                ),
                "verdict": st.column_config.TextColumn(width="medium"),
                "seconds": seconds,
                **by,
            },
        )
    st.markdown("**Left out, and why**")
    if missing.empty:
        st.text("Nothing that was asked for was left out.")
        return
    tables.table(missing, column_config={"reason": st.column_config.TextColumn(width="large")})


def _notes(study: Snapshot) -> None:
    notes = study.notes or (study.recommendation.notes if study.recommendation else ())
    if not notes:
        st.text("The search left no notes.")
        return
    st.code("\n".join(f"- {plain(note)}" for note in notes), language=None, wrap_lines=True)
