"""Stages in groups: networks differ in how many stages they have, and papers count in groups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from automl_transfer.plan import StageView


def grouped(stages: Sequence[StageView], count: int) -> list[tuple[StageView, ...]]:
    """Consecutive groups of about equally many stages, from input to output.

    Args:
        stages: At least one. Those without parameters are left out, unless all are: a phase that
            has nothing to train fails.
        count: Of groups, at least one; where there are fewer stages, each is a group.
    """
    trainable = [stage for stage in stages if stage.parameters] or list(stages)
    groups = min(count, len(trainable))
    borders = [round(place * len(trainable) / groups) for place in range(groups + 1)]
    return [tuple(trainable[begin:end]) for begin, end in pairwise(borders)]
