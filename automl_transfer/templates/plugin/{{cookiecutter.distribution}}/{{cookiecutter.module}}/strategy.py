{%- if cookiecutter.kind == "strategy" -%}
"""First the last stage trains, then the last half of them. A plan is free of torch."""

from __future__ import annotations

from automl_transfer.plan import FreezePlan, Phase


def plan(*, stages, params) -> FreezePlan:
    """What trains, when and how fast; the first phase trains the head alone."""
    half = stages[len(stages) // 2 :]
    return FreezePlan(
        phases=(
            Phase(name="head", share=0.0),
            Phase(name="last", share=0.5, trains={stages[-1].name: 1.0}),
            Phase(name="half", share=0.5, trains={stage.name: 0.5 for stage in half}),
        ),
        lr=float(params["lr"]),
        head_lr=3 * float(params["lr"]),
    )
{% endif -%}
