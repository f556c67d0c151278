"""The section *Budget* of the search page."""

from __future__ import annotations

import streamlit as st

from automl_transfer.budget import format_duration
from automl_transfer.dashboard import budget_chart, tables
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.drawing import drawn
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import plain


def planned(study: Snapshot) -> list[str]:
    """Until when stages may run, where that is fixed; of what is left the others have theirs."""
    limit = study.request.budget_seconds
    if not limit:
        return []
    found = [
        f"{plain(stage)} is to be over when {share:.0%} ({format_duration(share * limit)}) are "
        "spent"
        for stage, share in study.planned.items()
        if isinstance(share, (int, float)) and 0 < share < 1
    ]
    if not found:
        return []
    rest = "fine-tuning has what is left but for the end of the search, which is measured."
    return [f"Planned: {'; '.join(found)}; {rest}"]


def budget(study: Snapshot) -> None:
    """Draws where the time went, by stage and by backbone."""
    spent, limit = study.status.get("spent"), study.request.budget_seconds
    if isinstance(spent, (int, float)):
        of = f" of {format_duration(limit)}" if limit else ""
        trials = f"; the budget is {study.request.trials:,} trials" if study.request.trials else ""
        st.text(f"{format_duration(spent)} spent{of}{trials}.")
    else:
        st.text("Nothing is known of the time spent.")
    stages = budget_chart.spent_by_stage(study)
    if stages.empty:
        st.text("How it went by stage was not recorded for this study.")
    else:
        words = "Time of each stage; one that was entered several times is added up."
        drawn(budget_chart.budget_chart(stages), words)
        for line in planned(study):
            st.text(line)
        with st.expander("The same as a table"):
            seconds = st.column_config.NumberColumn(format="%.1f")
            tables.table(stages, column_config={"seconds": seconds})
    backbones = derived(study, "backbones", lambda: budget_chart.spent_by_backbone(study))
    if not backbones.empty:
        st.markdown("**Trials by backbone**")
        tables.table(
            backbones,
            column_config={
                "seconds": st.column_config.NumberColumn("seconds of its trials", format="%.1f")
            },
        )
