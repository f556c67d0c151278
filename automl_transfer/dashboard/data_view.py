"""The data of a study: how they were read and split, the classes, and what was set aside."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from automl_transfer.dashboard import charts, rows, tables
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import counted, metric_words, outputs, plain

MOST_BARS = 40
"""Classes in the chart; the table has all of them."""


def show(found: Snapshot) -> None:
    """Draws what is known of the data."""
    data = found.data
    if not data:
        st.info("The data have not been read yet.")
        return
    counts = data.get("counts")
    counts = counts if isinstance(counts, Mapping) else {}
    for place, part in zip(st.columns(4), ("train", "val", "test"), strict=False):
        place.metric(f"{part} samples", f"{int(counts.get(part, 0)):,}")
    known = data.get("classes") or []
    kind = str(data.get("kind", "single-label"))
    what = outputs(kind, known)
    st.text(
        f"{what[:1].upper()}{what[1:]}, read as {plain(data.get('layout', '–'))} by "
        f"the modality {plain(data.get('modality', '–'))}.\n"
        f"Split: {plain(data.get('split_description', '–'))}.\n"
        f"Metric: {metric_words(found.metric)}, because: {plain(data.get('metric_reason', '–'))}."
    )
    if kind == "regression":
        _numbers(found)
    else:
        _classes(found, kind)
    _quarantined(found, int(data.get("quarantined") or 0))


def _numbers(found: Snapshot) -> None:
    table = rows.numbers(found.directory)
    if table is None:
        st.text("The list of samples is not there, so the numbers cannot be shown.")
        return
    st.altair_chart(charts.numbers(table), width="stretch")


def _classes(found: Snapshot, kind: str) -> None:
    table = rows.classes(found.directory, kind)
    if table is None:
        st.text("The list of samples is not there, so the classes cannot be counted.")
        return
    table = table.sort_values("all", ascending=False, kind="stable")
    chart, numbers = st.columns(2)
    chart.altair_chart(charts.class_sizes(table.head(MOST_BARS)), width="stretch")
    if len(table) > MOST_BARS:
        chart.caption(f"The largest {MOST_BARS} of {len(table):,} classes.")
    with numbers:
        tables.table(table)


def _quarantined(found: Snapshot, count: int) -> None:
    if not count:
        st.text("Every item could be read.")
        return
    table = rows.quarantined(found.directory)
    items = counted(count, "item", "items")
    st.markdown(f"**Set aside:** {items} could not be read")
    if len(table) < count:
        st.caption(f"The first {len(table):,} of them; all are in quarantined.csv.")
    tables.table(table)
