"""How the search stands: drawn on every page, and looked at again by itself while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import answer, cached
from automl_transfer.dashboard.guarded import fragment
from automl_transfer.dashboard.snapshot import STANDING_WORDS, Snapshot, Standing, Unreadable
from automl_transfer.dashboard.wording import counted, plain, printable, score_text

LIVE = "2s"
"""How often a study that is being written is looked at."""
IDLE = "15s"
"""How often one that is not."""
MOST_RUNNING = 8
"""Running trials that are named."""

_COLOURS: Mapping[Standing, str] = {
    "running": "blue",
    "quiet": "orange",
    "interrupted": "orange",
    "finished": "green",
    "failed": "red",
    "unknown": "gray",
}


def every(study: Snapshot) -> str:
    """How often what follows the search should be drawn."""
    return LIVE if study.standing() == "running" else IDLE


def show(study: Snapshot) -> None:
    """Draws how the search stands, and offers what has come in since.

    Args:
        study: As the page is drawn from it.
    """
    directory, standing = study.directory, study.standing()
    drawn = (len(study.trials), study.recommendation is not None)
    fragment(
        "How the search stands", lambda: _draw(directory, standing, drawn), every=every(study)
    )


def _draw(directory: Path, before: Standing, drawn: tuple[int, bool]) -> None:
    study = current(directory)
    if study is None:
        return
    standing = study.standing()
    if standing != before:
        st.rerun()  # The search has ended, or gone on: the whole page is another.
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(STANDING_WORDS[standing], color=_COLOURS[standing])  # type: ignore[arg-type]
        if answer.is_provisional(study):
            st.badge("provisional", color="orange")
        share, text = answer.progress(study)
        st.text(text)
        new = len(study.trials) - drawn[0]
        if new > 0 or (study.recommendation is not None) != drawn[1]:
            label = f"Show {counted(new, 'new result')}" if new > 0 else "Show the new answer"
            # Tables stay as they are until they are asked for: nothing jumps under the reader.
            if st.button(label, key="refresh", icon=":material/refresh:"):
                st.rerun()
    if share is not None and standing in ("running", "quiet", "interrupted"):
        st.progress(share)
    _under_way(study)
    _resume(study)


def _under_way(study: Snapshot) -> None:
    lines = []
    for trial in study.running[:MOST_RUNNING]:
        epochs = f"epoch {trial.done} of {trial.epochs}" if trial.done else "starting"
        value = f", {score_text(study.metric, trial.last)}" if trial.done else ""
        lines.append(f"Running: trial {trial.number}, {plain(trial.title)} ({epochs}{value})")
    if len(study.running) > MOST_RUNNING:
        lines.append(f"... and {len(study.running) - MOST_RUNNING} more")
    if lines:
        st.text("\n".join(lines))


def _resume(study: Snapshot) -> None:
    standing = study.standing()
    if standing == "quiet":
        st.warning("The search has not written for a while. If it was killed, resume it with:")
    elif standing == "interrupted":
        st.info("The search was interrupted and nothing is lost. Resume it with:")
    elif standing == "failed":
        st.error("The search ended without an answer.")
        why = study.status.get("reason") or study.status.get("error")
        if why:
            st.code(printable(why), language=None, wrap_lines=True)
        st.text("Once its cause is mended, resume it with:")
    else:
        return
    st.code(plain(study.command), language=None, wrap_lines=True)


def current(directory: Path) -> Snapshot | None:
    """The study now; None, and a word about it, while it cannot be read."""
    found = cached.snapshot(directory)
    if isinstance(found, Unreadable):
        st.warning("The study cannot be read just now; the page tries again.")
        st.code(printable(found.reason), language=None, wrap_lines=True)
        return None
    return found
