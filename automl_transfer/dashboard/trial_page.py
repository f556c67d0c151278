"""One trial: what was tried, what came of it, and the proof that what was frozen did not move."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import streamlit as st

from automl_transfer.dashboard import address, answer, charts, places, rows, status, tables
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import fragment
from automl_transfer.dashboard.plan_rows import plan_rows
from automl_transfer.dashboard.snapshot import Snapshot, outcomes
from automl_transfer.dashboard.wording import (
    code_span,
    counted,
    interval_text,
    metric_words,
    plain,
    printable,
    score_text,
)
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import FreezeProof, Outcome
from automl_transfer.report.figures import took

STATE_COLOURS = {"finished": "green", "running": "blue", "pruned": "orange", "failed": "red"}


def draw(view: View) -> None:
    """Draws the trial that the address names, or says what to do."""
    study = view.study
    wanted = address.text("trial")
    known = study.by_number
    number = address.number("trial")
    if number is None or number not in known:
        if wanted is not None:
            st.warning(f"This study has no trial {code_span(wanted)}.")
        _choose(view)
        return
    if known[number].state == "running":
        fragment("This trial", lambda: _followed(view, number), every=status.LIVE)
    else:
        _trial(view, number)


def _choose(view: View) -> None:
    known = view.study.by_number
    if not known:
        st.markdown("#### No trial has begun yet.")
        return
    st.markdown(f"#### Which of the {counted(len(known), 'trial')}?")
    chosen = st.number_input(
        "Number of the trial", min_value=min(known), max_value=max(known), value=None, step=1
    )
    if chosen is not None and int(chosen) in known:
        places.go("trial", study=view.name, trial=int(chosen))
    elif chosen is not None and str(chosen) != address.text("trial"):
        st.warning(f"This study has no trial {int(chosen)}.")
    places.link("leaderboard", "Choose from the leaderboard", study=view.name)


def _followed(view: View, number: int) -> None:
    study = status.current(view.directory)
    if study is None or number not in study.by_number:
        return
    if study.by_number[number].state != "running":
        st.rerun()
    _trial(View(name=view.name, study=study), number)


def _trial(view: View, number: int) -> None:
    study = view.study
    found = outcomes(study, [number])
    if not found:
        st.warning(f"Trial {number} cannot be read just now. Load the page again.")
        return
    trial = found[0]
    st.markdown(f"#### {_sentence(study, trial)}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(trial.state, color=STATE_COLOURS[trial.state])  # type: ignore[arg-type]
        _ways(view, trial)
    if trial.reason:
        st.text("Why it failed:" if trial.state == "failed" else "Why it ended:")
        st.code(printable(trial.reason), language=None, wrap_lines=True)
    _numbers(study, trial)
    _curve(study, trial)
    _details(trial)
    _command(study, trial)


def _sentence(study: Snapshot, trial: Outcome) -> str:
    what = f"Trial {trial.number}: {answer.configuration_words(trial.configuration)}"
    if trial.state == "finished":
        value = score_text(study.metric, trial.value)
        return f"{what}: **{value} {metric_words(study.metric)}** on validation data."
    if trial.state == "running":
        return f"{what}, is running."
    ended = "failed" if trial.state == "failed" else "was stopped early"
    return f"{what}, {ended}."


def _ways(view: View, trial: Outcome) -> None:
    study = view.study
    if trial.state == "finished":
        places.link("errors", "Where it is wrong", study=view.name, of=trial.number)
        best = study.best_first[0] if study.best_first else None
        result = study.recommendation
        other = result.winner.number if result else best.number if best else trial.number
        if other != trial.number:
            ids = f"{other},{trial.number}"
            label = f"Compare with {'the winner' if result else 'the best'} (trial {other})"
            places.link("compare", label, study=view.name, ids=ids)
    places.link(
        "leaderboard",
        "Others of this backbone",
        study=view.name,
        backbone=trial.configuration.backbone,
    )


def _numbers(study: Snapshot, trial: Outcome) -> None:
    last = trial.curve[-1].value if trial.curve else None
    shown = trial.value if trial.value is not None else last
    result = study.recommendation
    ranked = {row.number: row for row in result.ranking} if result else {}
    score, seconds, epochs, share = st.columns(4)
    score.metric(f"{metric_words(study.metric)}, validation", score_text(study.metric, shown))
    row = ranked.get(trial.number)
    interval = interval_text(study.metric, row.interval if row else None)
    score.caption(f"95 % interval {interval}" if interval else "no interval")
    if row is not None and row.confirmed is not None:
        score.caption(f"confirmed on fresh folds: {score_text(study.metric, row.confirmed)}")
    spent = trial.seconds or (trial.curve[-1].seconds if trial.curve else 0.0)
    seconds.metric("time", took(spent))
    epochs.metric(
        "epochs",
        f"{trial.curve[-1].epoch if trial.curve else 0} of {trial.epochs}"
        if trial.epochs
        else "none",
    )
    proof = trial.proof
    share.metric("trainable share", _share(proof) if proof else "–")
    if proof is not None:
        share.caption(f"{proof.trainable_parameters:,} of {proof.total_parameters:,} parameters")


def _share(proof: FreezeProof) -> str:
    total = proof.total_parameters
    return f"{proof.trainable_parameters / total:.2%}" if total else "–"


def _curve(study: Snapshot, trial: Outcome) -> None:
    if not trial.curve:
        st.caption("This trial has no learning curve: it did not train in epochs.")
        return
    frame = rows.curves([trial])
    value, loss = st.columns(2)
    value.altair_chart(charts.curve(frame, study.metric), width="stretch")
    loss.altair_chart(charts.loss(frame), width="stretch")


def _details(trial: Outcome) -> None:
    left, right = st.columns(2)
    with left:
        st.markdown("**Hyper-parameters**")
        tables.table(rows.facts(trial.configuration.params))
        if trial.metrics:
            st.markdown("**All metrics, validation**")
            tables.table(
                rows.facts({name: f"{value:.4f}" for name, value in trial.metrics.items()}),
            )
    with right:
        st.markdown("**What trains when, and the proof**")
        if trial.plan is not None:
            tables.table(plan_rows(trial.plan))
        st.text(_proof_text(trial.proof))
        st.markdown("**Where it comes from**")
        provenance = {
            "stage": trial.stage,
            "started": trial.started,
            "seed": trial.seed,
            "device": trial.device,
            "generation": trial.generation,
            "weights (SHA-256)": trial.weights,
            "configuration": trial.configuration.digest,
            "provider": dict(trial.providers),
        }
        tables.table(rows.facts(provenance))
    with st.expander("The whole row as JSON"):
        st.code(json.dumps(to_json(trial), indent=2, ensure_ascii=True), language="json")


def _proof_text(proof: FreezeProof | None) -> str:
    if proof is None:
        return "Nothing was measured: the trial has not ended, or it failed before."
    if proof.frozen_tensors == 0:
        return "Nothing was frozen: every parameter trained."
    tensors = counted(proof.frozen_tensors, "frozen tensor", "frozen tensors")
    return f"{tensors} (parameters and buffers) were compared and stayed bit-identical."


def _command(study: Snapshot, trial: Outcome) -> None:
    parts = trial.configuration
    alone = replace(
        study.request,
        study=f"{study.request.name}-{trial.number}",
        backbones=(parts.backbone,),
        heads=(parts.head,),
        strategies=(parts.strategy,),
    )
    st.text("To search only among its hyper-parameters, in a study of its own:")
    st.code(plain(alone.command), language="bash", wrap_lines=True)
    name = shlex.quote(study.request.name)
    st.text("All that is stored of it, in a terminal:")
    st.code(plain(f"automl-transfer show {name} --trial {trial.number}"), language="bash")
