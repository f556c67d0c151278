"""Where a model is wrong, and whether the labels are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.auditing.labels import KIND as WRONG_LABELS
from automl_transfer.dashboard import (
    address,
    bound,
    confusion,
    error_charts,
    gallery,
    places,
    tables,
)
from automl_transfer.dashboard.drawing import clickable, drawn
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import guarded
from automl_transfer.dashboard.per_class import per_class
from automl_transfer.dashboard.pictures import Shown
from automl_transfer.dashboard.predictions import Predicted, everything, held_out, of_trial
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import code_span, counted, distinct, plain
from automl_transfer.recommendation import HeldOutScore


def draw(view: View) -> None:
    """Draws the page."""
    study = view.study
    of = _whose(study)
    guarded("The errors", lambda: _errors(view, of))
    if study.kind == "single-label":
        guarded("What may be labelled wrong", lambda: _wrong_labels(study))
    guarded("The map", lambda: _map(study))


def _errors(view: View, of: int | None) -> None:
    study, result = view.study, view.study.recommendation
    found = held_out(study) if of is None else of_trial(study, of)
    if study.kind != "single-label":
        _of_other_kind(view, of, found)
    elif found is not None:
        _of_classes(study, of, found)
    elif of is None and result is not None and result.test.confusion:
        _of_matrix(study, result.test)
    else:
        _nothing(view, of)


def _whose(study: Snapshot) -> int | None:
    """The trial that is looked at; None: the winner, on samples that the search never saw."""
    asked = address.number("of")
    return asked if asked in study.by_number else None


def _nothing(view: View, of: int | None) -> None:
    study = view.study
    if of is not None:
        text = f"What trial {of} predicted was not kept, so its errors are not known."
    elif study.is_final:
        text = "What the winner predicted was not kept, or is damaged: its errors are not known."
    elif study.best_first:
        text = "The winner's errors are known when the search has ended."
    else:
        text = "Where a model is wrong is known as soon as one has been trained."
    st.markdown(f"#### {text}")
    if of is None and study.best_first:
        number = study.best_first[0].number
        label = f"Errors of the best so far, trial {number}"
        places.link("errors", label, study=view.name, of=number)


def _who(of: int | None) -> str:
    return "The winner" if of is None else f"Trial {of}"


def _where(study: Snapshot, of: int | None, count: int) -> str:
    result = study.recommendation
    if of is not None:
        return f"{count:,} validation samples"
    source = result.test.source if result else "test"
    return f"{count:,} test samples" if source == "test" else f"{count:,} samples ({source})"


def _of_classes(study: Snapshot, of: int | None, found: Predicted) -> None:
    classes = study.classes
    predicted = found.probabilities.argmax(axis=1)
    matrix = confusion.matrix_of(found.samples.targets, predicted, len(classes))
    _sentence(study, of, matrix)
    if of is not None:
        st.caption("On validation data, on which trials are also chosen: a little optimistic.")
    _matrix(study, matrix)
    _gallery(study, found, predicted)
    _classes(matrix, classes)
    _reliability(found.probabilities.max(axis=1), predicted == found.samples.targets)


def _of_matrix(study: Snapshot, test: HeldOutScore) -> None:
    classes = study.classes
    if [len(row) for row in test.confusion] != [len(classes)] * len(classes):
        st.markdown("#### The stored errors do not fit the classes of this study.")
        return
    matrix = np.array(test.confusion, dtype=np.int64)
    _sentence(study, None, matrix)
    _matrix(study, matrix, clicks=False)
    st.info(
        "Which samples these are was not kept by the version that made this study; of the most "
        "confident errors it was:"
    )
    errors = [
        {
            "sample": plain(row.source),
            "true": plain(classes[row.true]),
            "predicted": plain(classes[row.predicted]),
            "confidence": 100 * row.confidence,
        }
        for row in test.errors
        if row.true in range(len(classes)) and row.predicted in range(len(classes))
    ]
    if errors:
        tables.table(pd.DataFrame(errors))
    _classes(matrix, classes)


def _sentence(study: Snapshot, of: int | None, matrix: NDArray[np.int64]) -> None:
    total, right = int(matrix.sum()), int(matrix.diagonal().sum())
    wrong = total - right
    text = f"{_who(of)} is wrong on {wrong:,} of {_where(study, of, total)}"
    text += f" ({100 * wrong / total:.1f} %)" if total else ""
    apart = matrix - np.diag(matrix.diagonal())
    if wrong:
        true, predicted = np.unravel_index(int(apart.argmax()), apart.shape)
        names = study.classes
        text += (
            f"; most often {code_span(names[true])} is taken for "
            f"{code_span(names[predicted])} ({int(apart.max())})"
        )
    st.markdown(f"#### {text}.")


def _matrix(study: Snapshot, matrix: NDArray[np.int64], clicks: bool = True) -> None:
    shown = confusion.worst(matrix)
    chart = confusion.picture(matrix, study.classes, shown)
    some = (
        f" The {len(shown)} of {len(study.classes)} classes with the most errors."
        if len(shown) < len(study.classes)
        else ""
    )
    words = f"Rows: what is true; columns: what was predicted; darker: more of the row.{some}"
    if not clicks:
        drawn(chart, words)
        return
    names = distinct(study.classes)
    clickable(
        chart,
        f"{words} Click on a cell, or use the two lists, to choose the samples shown below.",
        "confusion",
        lambda: _clicked(names, study.classes),
    )


def _clicked(shown: list[str], classes: tuple[str, ...]) -> None:
    points = st.session_state["confusion"]["selection"].get("cell") or []
    if not points:
        address.put(true=None, pred=None, page=None)
        return
    true, predicted = points[0].get("true"), points[0].get("predicted")
    if true in shown and predicted in shown:
        address.put(
            true=classes[shown.index(true)], pred=classes[shown.index(predicted)], page=None
        )


def _gallery(study: Snapshot, found: Predicted, predicted: NDArray[np.int64]) -> None:
    options = {"": "any"} | {name: plain(name) for name in study.classes}
    left, right = st.columns(2)
    with left:
        true = bound.choice("True class", "true", options)
    with right:
        taken = bound.choice("Predicted class", "pred", options)
    targets, sure = found.samples.targets, found.probabilities.max(axis=1)
    chosen = np.ones(len(targets), dtype=bool)
    if true:
        chosen &= targets == study.classes.index(true)
    if taken:
        chosen &= predicted == study.classes.index(taken)
    if not (true and taken and true == taken):
        chosen &= predicted != targets
    order = np.flatnonzero(chosen)
    order = order[np.argsort(-sure[order], kind="stable")]
    what = "samples" if true and true == taken else "errors"
    st.markdown(f"**{len(order):,} {what}, the most confident first**")
    if not len(order):
        st.text("There are none of these.")
        return
    names = study.classes
    gallery.draw(
        study,
        [
            Shown(
                position=int(found.samples.positions[at]),
                source=found.samples.sources[at],
                words=f"{names[targets[at]]}, taken for {names[predicted[at]]}\n"
                f"{100 * sure[at]:.0f} % sure",
            )
            for at in order.tolist()
        ],
    )


def _classes(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    st.markdown("**Class by class, the weakest first**")
    column = st.column_config.NumberColumn
    share = {name: column(name, format="%.1f %%") for name in ("recall", "precision", "F1")}
    tables.table(per_class(matrix, classes), column_config=share)


def _reliability(sure: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
    with st.expander("Does it know when it is wrong?"):
        frame = error_charts.bins(sure, right)
        st.altair_chart(error_charts.reliability(frame), width="stretch")
        st.caption(
            "Each point: predictions of similar confidence. On the line, as many are right as "
            "the confidence says; below it, the model is too sure of itself."
        )
        tables.table(frame)


def _of_other_kind(view: View, of: int | None, found: Predicted | None) -> None:
    study = view.study
    result = study.recommendation
    if found is None:
        _nothing(view, of)
    elif study.kind == "regression":
        off = found.probabilities[:, 0] - found.samples.targets
        st.markdown(
            f"#### {_who(of)} is off by {np.abs(off).mean():.4g} in the mean, by "
            f"{np.median(np.abs(off)):.4g} for half of {_where(study, of, len(off))}."
        )
        chart = error_charts.against(found.samples.targets, found.probabilities[:, 0])
        st.altair_chart(chart, width="stretch")
        st.caption(f"At most {error_charts.MOST_POINTS:,} samples; on the line, it is right.")
        order = np.argsort(-np.abs(off), kind="stable")
        st.markdown("**Furthest off first**")
        gallery.draw(
            study,
            [
                Shown(
                    position=int(found.samples.positions[at]),
                    source=found.samples.sources[at],
                    words=f"{found.samples.targets[at]:.4g}, predicted "
                    f"{found.probabilities[at, 0]:.4g}",
                )
                for at in order[:240].tolist()
            ],
        )
    else:
        holds, sets = found.probabilities >= 0.5, found.samples.targets > 0
        wrong = (holds != sets).any(axis=1)
        st.markdown(
            f"#### {_who(of)} has a label wrong on {int(wrong.sum()):,} of "
            f"{_where(study, of, len(wrong))}."
        )
        tables.table(error_charts.per_label(holds, sets, study.classes))
        doubt = np.where(sets, 1 - found.probabilities, found.probabilities)
        order = np.argsort(-doubt.max(axis=1), kind="stable")
        st.markdown("**The least probable truths first**")
        gallery.draw(
            study,
            [
                Shown(
                    position=int(found.samples.positions[at]),
                    source=found.samples.sources[at],
                    words=f"{study.classes[label]}: "
                    f"{'holds' if sets[at, label] else 'does not hold'}, predicted "
                    f"{found.probabilities[at, label]:.0%}",
                )
                for at in order[:240].tolist()
                for label in [int(doubt[at].argmax())]
            ],
        )
    if result is not None and of is None and result.test.report_text:
        with st.expander("Label by label, as scikit-learn tells it"):
            st.code(plain(result.test.report_text), language=None)


def _wrong_labels(study: Snapshot) -> None:
    rows = StudyDirectory(study.directory).read_wrong_labels()
    finding = next(
        (one for one in (study.audit.findings if study.audit else ()) if one.kind == WRONG_LABELS),
        None,
    )
    st.markdown("**Labels that may be wrong**")
    if not rows:
        st.text("None is suspected, or they were not looked for.")
        return
    st.text(plain(finding.title) if finding else counted(len(rows), "suspicion"))
    st.caption("These are suspicions: look at each before you change it.")
    whole = everything(study)
    places = {source: place for place, source in enumerate(whole.sources)} if whole else {}
    gallery.draw(
        study,
        [
            Shown(
                position=places.get(str(row["source"]), -1),
                source=str(row["source"]),
                words=f"{row['label']}, looks like {row['suggested']}\n"
                f"{100 * float(row['confidence']):.0f} % sure",
            )
            for row in sorted(rows, key=lambda row: -float(row["confidence"]))
        ],
        "labels",
    )


def _map(study: Snapshot) -> None:
    stored, whole = StudyDirectory(study.directory).read_map(), everything(study)
    if stored is None or whole is None or study.kind != "single-label":
        return
    positions, points = stored
    if len(positions) and positions.max() >= len(whole.positions):
        return
    with st.expander("A map of the samples", expanded=False):
        right = _right(study)
        names = distinct(study.classes)
        frame = pd.DataFrame(
            {
                "x": points[:, 0],
                "y": points[:, 1],
                "class": [names[label] for label in whole.targets[positions]],
                "sample": [plain(whole.sources[at]) for at in positions.tolist()],
                "the winner is": [right.get(int(at), "not asked") for at in positions],
            }
        )
        only = bound.choice("Class", "only", {"": "all"} | {name: name for name in names})
        if only:
            frame = frame[frame["class"] == only]
        st.altair_chart(error_charts.points(frame), width="stretch")
        shares = study.map.get("explained")
        known = shares if isinstance(shares, list) else []
        held = sum(share for share in known if isinstance(share, (int, float)))
        st.caption(
            f"{counted(len(frame), 'sample')} by the {plain(study.map.get('method', 'features'))} "
            f"of {code_span(study.map.get('backbone', 'the backbone'))}; the two directions hold "
            f"{held:.0%} of the scatter, so closeness here is closeness only roughly. "
            "Right and wrong are of the winner's trial on the validation part."
        )


def _right(study: Snapshot) -> dict[int, str]:
    """Whether the winner's trial was right on samples of the validation part."""
    result = study.recommendation
    found = of_trial(study, result.winner.number) if result else None
    if found is None:
        return {}
    right = found.probabilities.argmax(axis=1) == found.samples.targets
    return {
        int(at): "right" if hit else "wrong"
        for at, hit in zip(found.samples.positions, right, strict=True)
    }
