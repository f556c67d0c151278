"""Whether one of two to four trials is really better, what differs, and where they disagree."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from automl_transfer.dashboard import address, charts, gallery, places, rows, tables
from automl_transfer.dashboard.disagreement import class_differences, disagreements
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.paired import Paired, paired
from automl_transfer.dashboard.predictions import Predicted, of_trial
from automl_transfer.dashboard.snapshot import Snapshot, outcomes
from automl_transfer.dashboard.wording import (
    counted,
    interval_text,
    metric_words,
    plain,
    score_text,
)
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Finalist
from automl_transfer.report.certainty import is_behind
from automl_transfer.report.figures import differences, latency, room, share, took

LEAST, MOST = 2, 4
OFFERED = 200
"""Trials in the list, the best ones."""


def draw(view: View) -> None:
    """Draws the page."""
    study = view.study
    numbers = _chosen(study)
    _left_out(study, numbers)
    if len(numbers) < LEAST:
        st.markdown("#### Choose two to four trials to compare.")
        places.link("leaderboard", "Choose from the leaderboard", study=view.name)
        return
    trials = outcomes(study, numbers)
    by_number = {trial.number: trial for trial in trials}
    trials = [by_number[number] for number in numbers if number in by_number]
    found = [(trial, of_trial(study, trial.number)) for trial in trials]
    known = [(trial, one) for trial, one in found if one is not None]
    compared = paired(study, known) if len(known) >= LEAST else None
    confirmed = _finalists(study, numbers)
    st.markdown(f"#### {_sentence(study, compared, confirmed)}")
    if confirmed:
        _confirmed(study, confirmed)
    _validation(study, compared, [trial.number for trial, one in found if one is None])
    _parameters(trials)
    _costs(view, trials)
    _curves(study, trials)
    if compared is not None and study.kind == "single-label":
        _classes(study, known)
        _samples(study, known)


def _chosen(study: Snapshot) -> list[int]:
    asked = [number for number in address.numbers("ids") if number in study.by_number][:MOST]
    offered = [trial.number for trial in study.best_first[:OFFERED]]
    options = list(dict.fromkeys([*asked, *offered]))
    st.session_state["compared"] = asked
    st.multiselect(
        f"Trials ({LEAST} to {MOST})",
        options,
        key="compared",
        format_func=lambda number: f"{number}: {plain(study.by_number[number].title)}",
        max_selections=MOST,
        on_change=lambda: address.put(
            ids=",".join(map(str, st.session_state["compared"])), page=None
        ),
    )
    return asked


def _left_out(study: Snapshot, shown: Sequence[int]) -> None:
    """Says which trials of the address are not compared, and why."""
    asked = address.numbers("ids")
    unknown = [number for number in asked if number not in study.by_number]
    beyond = [number for number in asked if number in study.by_number and number not in shown]
    if unknown:
        st.warning(f"This study has no trial {', '.join(map(str, unknown))}.")
    if beyond:
        listed = ", ".join(map(str, beyond))
        st.info(f"At most {MOST} are compared at once; left out: {listed}.")


def _sentence(study: Snapshot, compared: Paired | None, confirmed: Sequence[Finalist]) -> str:
    if confirmed:
        best = max(confirmed, key=lambda one: one.value)
        behind = [one for one in confirmed if one is not best and _is_behind(one, best)]
        others = [one for one in confirmed if one is not best]
        if len(behind) == len(others):
            return f"Trial {best.number} is better, on fresh folds: more than chance explains."
        if not behind:
            return "No difference is shown between them on fresh folds."
        listed = ", ".join(str(one.number) for one in behind)
        return f"Trial {best.number} is better than trial {listed}; the rest may be chance."
    if compared is None:
        return "What these predicted was not kept, so they can only be laid side by side."
    return compared.sentence


def _is_behind(one: Finalist, best: Finalist) -> bool:
    """Whether it is shown; only differences to the best of all finalists are stored."""
    return best.behind is None and is_behind(one)


def _finalists(study: Snapshot, numbers: Sequence[int]) -> list[Finalist]:
    """The trials as finalists, if all of them are, and with the best of these among them."""
    result = study.recommendation
    if result is None or result.confirmation is None or not study.is_final:
        return []
    known = {one.number: one for one in result.confirmation.finalists}
    found = [known[number] for number in numbers if number in known]
    complete = len(found) == len(numbers) and any(one.behind is None for one in found)
    return found if complete else []


def _confirmed(study: Snapshot, found: Sequence[Finalist]) -> None:
    st.markdown("**On fresh folds, which no choice was made on**")
    tables.table(
        pd.DataFrame(
            [
                {
                    "trial": one.number,
                    "confirmed": score_text(study.metric, one.value),
                    "95 % interval": interval_text(study.metric, one.interval),
                    "behind the best": differences(study.metric, one.behind),
                    "P(best)": share(one.p_best),
                }
                for one in found
            ]
        )
    )


def _validation(study: Snapshot, compared: Paired | None, missing: Sequence[int]) -> None:
    if missing:
        listed = ", ".join(map(str, missing))
        st.info(f"What trial {listed} predicted for the validation part was not kept.")
    if compared is None:
        return
    st.markdown("**On the validation part, sample by sample**")
    tables.table(compared.frame)
    st.caption(
        f"{counted(compared.samples, 'sample')}; intervals hold together for all pairs (95 %). "
        "Trials are also chosen on these samples: the best of many looks better than it is. "
        + compared.seen
    )


def _parameters(trials: Sequence[Outcome]) -> None:
    st.markdown("**What differs**")
    names = {
        "backbone": [trial.configuration.backbone for trial in trials],
        "head": [trial.configuration.head for trial in trials],
        "strategy": [trial.configuration.strategy for trial in trials],
    }
    keys = sorted({name for trial in trials for name in trial.configuration.params})
    for name in keys:
        names[name] = [_value(trial.configuration.params.get(name)) for trial in trials]
    titles = [f"trial {trial.number}" for trial in trials]
    lines = [
        {"": plain(name)} | dict(zip(titles, map(plain, values), strict=True))
        for name, values in names.items()
        if len(set(values)) > 1
    ]
    if len(trials) < 2:
        st.text("The others cannot be read.")
    elif lines:
        tables.table(pd.DataFrame(lines))
    else:
        st.text("Nothing but the seed.")


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _costs(view: View, trials: Sequence[Outcome]) -> None:
    study = view.study
    result = study.recommendation
    finalists = result.confirmation.finalists if result and result.confirmation else ()
    costs = {one.number: one.cost for one in finalists if one.cost is not None}
    st.markdown("**Costs**")
    lines = []
    for trial in trials:
        proof, cost = trial.proof, costs.get(trial.number)
        lines.append(
            {
                "trial": trial.number,
                "state": trial.state,
                metric_words(study.metric): score_text(study.metric, trial.value),
                "time": took(trial.seconds),
                "trainable": f"{proof.trainable_parameters / proof.total_parameters:.2%}"
                if proof and proof.total_parameters
                else "–",
                "latency": latency(cost.latency) if cost else "–",
                "size": room(cost.bytes) if cost else "–",
                "memory": room(cost.memory) if cost else "–",
            }
        )
    tables.table(pd.DataFrame(lines))
    with st.container(horizontal=True):
        for trial in trials:
            label = f"Trial {trial.number}"
            places.link("trial", label, study=view.name, trial=trial.number)


def _curves(study: Snapshot, trials: Sequence[Outcome]) -> None:
    with_curve = [trial for trial in trials if trial.curve]
    if all(len(trial.curve) < 2 for trial in with_curve):
        return
    st.markdown("**Curves**")
    st.altair_chart(
        charts.curves(rows.curves(with_curve), study.metric, by="trial"), width="stretch"
    )


def _classes(study: Snapshot, known: Sequence[tuple[Outcome, Predicted]]) -> None:
    (first, one), (second, other) = known[:2]
    st.markdown(f"**Class by class: trial {first.number} against trial {second.number}**")
    tables.table(
        class_differences(one, other, study.classes),
        column_config={
            name: st.column_config.NumberColumn(name, format="%+.1f points")
            for name in ("difference of recall",)
        },
    )


def _samples(study: Snapshot, known: Sequence[tuple[Outcome, Predicted]]) -> None:
    (first, one), (second, other) = known[:2]
    found = disagreements(one, other, study.classes)
    only = st.segmented_control(
        f"Samples on which trials {first.number} and {second.number} disagree",
        ["all", f"only {first.number} is right", f"only {second.number} is right", "both wrong"],
        default="all",
        key="disagreement",
    )
    wanted = {
        f"only {first.number} is right": "first",
        f"only {second.number} is right": "second",
        "both wrong": "neither",
    }.get(str(only))
    chosen = [row for row in found if wanted in (None, row.right)]
    if not chosen:
        st.text("There are none.")
        return
    st.text(f"{counted(len(chosen), 'sample')}, those first on which both are surest.")
    gallery.draw(study, [row.shown for row in chosen])
