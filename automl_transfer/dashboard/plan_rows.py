"""A freeze plan as a table: which stages train in which phase, and how fast."""

from __future__ import annotations

import pandas as pd

from automl_transfer.dashboard.wording import plain
from automl_transfer.plan import FreezePlan, Phase


def plan_rows(plan: FreezePlan) -> pd.DataFrame:
    """One row for each phase and stage that trains in it; one for a phase in which none does."""
    rows = [row for phase in plan.phases for row in _phase(plan, phase)]
    return pd.DataFrame(rows, columns=["phase", "epochs", "stage", "learning rate", "what trains"])


def _phase(plan: FreezePlan, phase: Phase) -> list[tuple[str, str, str, str, str]]:
    name, share = plain(phase.name), f"{phase.share:.0%}"
    if not phase.trains:
        return [(name, "none", "no stage", f"{plan.head_lr:.3g}", "the head, on kept features")]
    tensors = "norm layers and biases" if phase.tensors == "norm-bias" else "all parameters"
    if phase.adapter is not None:
        tensors = f"adapters of rank {phase.adapter.rank}"
    if phase.norm == "train":
        tensors += ", and norm statistics"
    return [
        (name, share, plain(stage), f"{plan.lr * factor:.3g}", tensors)
        for stage, factor in phase.trains.items()
    ] + [(name, share, "head", f"{plan.head_lr:.3g}", "all parameters")]
