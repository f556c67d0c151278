"""One trial: what was tried, what came of it, and the proof that what was frozen did not move."""

from __future__ import annotations

import json

import streamlit as st

from automl_transfer.budget import format_duration
from automl_transfer.dashboard import address, charts, rows, tables
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import (
    code_span,
    counted,
    interval_text,
    metric_words,
    printable,
    score_text,
)
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import FreezeProof, Outcome

STATE_COLOURS = {"finished": "green", "running": "blue", "pruned": "orange", "failed": "red"}


def chosen(snapshot: Snapshot) -> Outcome | None:
    """The trial that the address names, if the study has it."""
    wanted = address.wanted_trial()
    return next((one for one in snapshot.everything if str(one.number) == wanted), None)


def show(snapshot: Snapshot, name: str) -> None:
    """Draws the trial that the address names, or says what to do."""
    wanted = address.wanted_trial()
    if wanted is None:
        st.caption("Select a row to see everything about that trial.")
        return
    trial = chosen(snapshot)
    if trial is None:
        st.warning(
            f"This study has no trial {code_span(wanted[:40])}. Select a row of the table above."
        )
        return
    title, close = st.columns([5, 1], vertical_alignment="center")
    title.markdown(f"#### Trial {trial.number}: {_title(trial)}")
    if close.button("Close the trial", key="close-trial"):
        address.go_to(name)
        st.rerun()
    st.badge(trial.state, color=STATE_COLOURS[trial.state])  # type: ignore[arg-type]
    if trial.reason:
        st.text("Why it failed:" if trial.state == "failed" else "Why it ended:")
        st.code(printable(trial.reason), language=None, wrap_lines=True)
    _numbers(snapshot, trial)
    _curve(snapshot, trial)
    _details(snapshot, trial)


def _title(trial: Outcome) -> str:
    configuration = trial.configuration
    return (
        f"{code_span(configuration.backbone)} + {code_span(configuration.head)}, "
        f"{code_span(configuration.strategy)}"
    )


def _numbers(snapshot: Snapshot, trial: Outcome) -> None:
    value = trial.value if trial.value is not None else (trial.curve or [None])[-1]
    shown = value if isinstance(value, (int, float)) or value is None else value.value
    answer = snapshot.recommendation
    ranked = {row.number: row.interval for row in answer.ranking} if answer else {}
    score, seconds, epochs, share = st.columns(4)
    score.metric(
        f"{metric_words(snapshot.metric)}, validation", score_text(snapshot.metric, shown)
    )
    interval = interval_text(snapshot.metric, ranked.get(trial.number))
    score.caption(f"95 % interval {interval}" if interval else "no interval")
    took = trial.seconds or (trial.curve[-1].seconds if trial.curve else 0.0)
    seconds.metric("time", format_duration(took) if took >= 1 else f"{took:.2f} s")
    epochs.metric("epochs", f"{len(trial.curve)} of {trial.epochs}" if trial.epochs else "none")
    proof = trial.proof
    share.metric("trainable share", _share(proof) if proof else "–")
    if proof is not None:
        share.caption(f"{proof.trainable_parameters:,} of {proof.total_parameters:,} parameters")


def _share(proof: FreezeProof) -> str:
    total = proof.total_parameters
    return f"{proof.trainable_parameters / total:.2%}" if total else "–"


def _curve(snapshot: Snapshot, trial: Outcome) -> None:
    if not trial.curve:
        st.caption("This trial has no learning curve: it did not train in epochs.")
        return
    frame = rows.curves([trial])
    value, loss = st.columns(2)
    value.altair_chart(charts.curve(frame, snapshot.metric), width="stretch")
    loss.altair_chart(charts.loss(frame), width="stretch")


def _details(snapshot: Snapshot, trial: Outcome) -> None:
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
        st.markdown("**Freeze proof**")
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
    with st.expander("The configuration as JSON"):
        st.code(
            json.dumps(to_json(trial.configuration), indent=2, ensure_ascii=True), language="json"
        )


def _proof_text(proof: FreezeProof | None) -> str:
    if proof is None:
        return "Nothing was measured: the trial has not ended, or it failed before."
    if proof.frozen_tensors == 0:
        return "Nothing was frozen: every parameter trained."
    tensors = counted(proof.frozen_tensors, "frozen tensor", "frozen tensors")
    return f"{tensors} (parameters and buffers) were compared and stayed bit-identical."
