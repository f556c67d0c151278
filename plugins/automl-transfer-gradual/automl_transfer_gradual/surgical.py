"""Surgical fine-tuning: one block trains, wherever it is (arXiv:2210.11466)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automl_transfer.plan import FreezePlan, Phase, StageView, from_probed_head
from automl_transfer.space import Scalar
from automl_transfer_gradual.grouping import grouped

BLOCKS = 5
"""Of a network; a residual network has about as many (a stem and four stages)."""


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Lee et al., Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, 2023.

    Which block is best depends on how the data differ from those of the pretraining: the first
    where the pixels do, a middle one where the features do, the last where the classes do. So the
    depth of the block is left to the search.
    """
    blocks = grouped(stages, BLOCKS)
    # Half-way between two blocks the later one is the cheaper: gradients end sooner.
    place = int(float(params["depth"]) * (len(blocks) - 1) + 0.5)
    return from_probed_head(
        Phase(
            name=f"block-{place + 1}-of-{len(blocks)}",
            share=1.0,
            trains={stage.name: 1.0 for stage in blocks[place]},
        ),
        lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
    )
