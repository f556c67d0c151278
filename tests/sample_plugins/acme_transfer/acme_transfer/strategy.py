"""Head first, then the last stage: a plan, free of torch."""

from __future__ import annotations

from automl_transfer.plan import FreezePlan, Phase


def plan(*, stages, params) -> FreezePlan:
    return FreezePlan(
        phases=(
            Phase(name="head", share=0.0),
            Phase(name="last", share=1.0, trains={stages[-1].name: 1.0}),
        ),
        lr=float(params["lr"]),
        head_lr=float(params["lr"]),
    )
