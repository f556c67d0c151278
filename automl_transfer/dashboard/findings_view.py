"""The findings of the audit, each with what it does to the trust in the answer."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.audit import Finding
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.pictures import Shown, pictures
from automl_transfer.dashboard.predictions import everything
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.trust import Trust, trust
from automl_transfer.dashboard.wording import plain

_WORDS = {
    "error": "error: certainly wrong",
    "warning": "warning: results may suffer",
    "info": "info: good to know",
}
_COLOURS = {"error": "red", "warning": "orange", "info": "gray"}


def findings(study: Snapshot) -> None:
    """Draws all of them, gravest first, and what was looked for."""
    audit = study.audit
    if audit is None:
        st.text("Searches of this version audit the data first; this one kept no audit.")
        return
    rows = derived(study, "rows of sources", lambda: _rows(study)) if audit.findings else {}
    wanted = {
        rows[source]
        for finding in audit.findings
        for example in finding.examples
        for source in example.sources
        if source in rows
    }
    views = StudyDirectory(study.directory).read_stills(wanted) if wanted else {}
    for finding in audit.findings:
        _draw(finding, trust(finding, audit.samples), rows, views)
    if not audit.findings:
        st.text("The audit found nothing remarkable.")
    with st.expander(f"What was looked for, in {audit.samples:,} samples"):
        st.text("\n".join(f"- {plain(what)}" for what in audit.looked_for))


def _rows(study: Snapshot) -> dict[str, int]:
    """The row of each example in the manifest."""
    whole, audit = everything(study), study.audit
    if whole is None or audit is None:
        return {}
    wanted = {
        source
        for finding in audit.findings
        for example in finding.examples
        for source in example.sources
    }
    return {source: row for row, source in enumerate(whole.sources) if source in wanted}


def _draw(
    finding: Finding,
    meant: Trust,
    rows: Mapping[str, int],
    views: Mapping[int, tuple[str, bytes]],
) -> None:
    with st.container(border=True):
        with st.container(horizontal=True):
            st.badge(
                _WORDS.get(finding.severity, plain(finding.severity)),
                color=_COLOURS.get(finding.severity, "orange"),  # type: ignore[arg-type]
            )
            if meant.limits:
                st.badge("limits the trust in the answer", color="orange")
        st.text(plain(finding.title))
        st.text(
            f"What the search does: {plain(finding.action)}.\n"
            f"What it does to the answer: {meant.words}"
        )
        if finding.examples:
            with st.expander("Examples"):
                for example in finding.examples:
                    shown = [
                        Shown(position=rows.get(source, -1), source=source, words="")
                        for source in example.sources
                    ]
                    names = ", ".join(plain(source) for source in example.sources)
                    words = plain(example.words)
                    st.text(": ".join(part for part in (names, words) if part))
                    seen = [one for one in shown if one.position in views]
                    if seen:
                        pictures(seen, views)
