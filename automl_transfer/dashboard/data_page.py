"""The data of a study: whether they limit the trust in the answer, and what is in them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from automl_transfer.dashboard import charts, data_rows, tables
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.drawing import drawn
from automl_transfer.dashboard.findings_view import findings
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.guarded import guarded
from automl_transfer.dashboard.samples_view import samples
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.trust import trust
from automl_transfer.dashboard.wording import code_span, counted, metric_words, outputs, plain

MOST_BARS = 40
"""Classes in the chart; the table has all of them."""


def draw(view: View) -> None:
    """Draws the page."""
    study = view.study
    if not study.data:
        st.markdown("#### The data have not been read yet.")
        st.text("The search reads them first; what it finds stands here then.")
        return
    st.markdown(f"#### {_sentence(study)}")
    for what, part in (
        ("The findings", findings),
        ("The sizes of the classes", _balance),
        ("The samples", samples),
        ("The parts of the data", _splits),
        ("What could not be used", _quarantined),
    ):
        guarded(what, partial(part, study))


def _sentence(study: Snapshot) -> str:
    counts = data_rows.sizes(study)
    what = outputs(study.kind, study.classes)
    # The name of a number is untrusted.
    what = code_span(what) if study.kind == "regression" else what
    said = f"{counted(sum(counts.values()), 'sample')} of {what}"
    audit = study.audit
    if audit is None:
        return f"{said}; no audit was kept, so nothing is known of what limits the trust in them."
    limits = sum(trust(one, audit.samples).limits for one in audit.findings)
    if not limits:
        return f"{said}; nothing was found that limits the trust in the answer."
    return (
        f"{said}; {counted(limits, 'finding limits', 'findings limit')} the trust in the answer."
    )


def _balance(study: Snapshot) -> None:
    st.markdown("**How many of each**")
    stamp = data_rows.stamp(study.directory)
    if study.kind == "regression":
        numbers = derived(study, f"numbers {stamp}", lambda: data_rows.numbers(study.directory))
        if numbers is None:
            st.text("The list of samples is not there, so the numbers cannot be shown.")
            return
        drawn(charts.numbers(numbers), "How often numbers occur, stacked by part.")
        tables.table(data_rows.ranges(numbers))
        return
    table = derived(
        study, f"classes {stamp}", lambda: data_rows.classes(study.directory, study.kind)
    )
    if table is None:
        st.text("The list of samples is not there, so the classes cannot be counted.")
        return
    chart, numbers = st.columns(2)
    with chart:
        drawn(charts.class_sizes(table.head(MOST_BARS)), _balance_words(study, len(table)))
    with numbers:
        tables.table(table)


def _balance_words(study: Snapshot, count: int) -> str:
    words = "Samples, stacked in the order train, val, test; the table has the numbers."
    if study.kind == "multi-label":
        words += " A sample with several labels counts for each."
    if count > MOST_BARS:
        what = "labels" if study.kind == "multi-label" else "classes"
        words += f" Drawn are the largest {MOST_BARS} of {count:,} {what}."
    return words


def _splits(study: Snapshot) -> None:
    data, counts = study.data, data_rows.sizes(study)
    total = sum(counts.values())
    st.markdown("**How they are divided**")
    with st.container(horizontal=True):
        for part, count in counts.items():
            share = f" ({count / total:.0%})" if total else ""
            st.metric(f"{part}{share}", f"{count:,}", width="content")
    held = counts["test"] / total if total else 0.0
    lines = [
        f"Held out from the whole search: {100 * held:.0f} % of the samples, the test part."
        if counts["test"]
        else "Nothing is held out: the score is by cross-validation.",
        f"How: {data.get('split_description', '–')}.",
    ]
    stamp = data_rows.stamp(study.directory)
    together = derived(study, f"units {stamp}", lambda: data_rows.together(study.directory))
    if together:
        lines.append(together)
    lines += [
        f"Metric: {metric_words(study.metric)}, because: {data.get('metric_reason', '–')}.",
        f"Read as {data.get('layout', '–')}, by the modality {data.get('modality', '–')}.",
    ]
    st.text("\n".join(map(plain, lines)))


def _quarantined(study: Snapshot) -> None:
    found = study.data.get("quarantined")
    count = int(found) if isinstance(found, (int, float)) else 0
    st.markdown("**Set aside**")
    if not count:
        st.text("Every item could be read.")
        return
    table = data_rows.quarantined(study.directory)
    st.text(f"{counted(count, 'item')} could not be used, and took no part.")
    if table.empty:
        st.text("Their list, quarantined.csv, is not there any more.")
        return
    if len(table) < count:
        st.caption(f"The first {len(table):,} of them; all are in quarantined.csv.")
    tables.table(table)
