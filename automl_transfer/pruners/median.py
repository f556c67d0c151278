"""Behind the median of earlier trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import PrunerCard

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

CARD = PrunerCard(
    id="median",
    factory="automl_transfer.pruners.median:build",
    summary="stops what is below the median of earlier trials at the same step",
)


def build(*, rungs: Sequence[int]) -> BasePruner:
    """Optuna's median pruner; the first four trials, and the first rung, are left alone."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=4, n_warmup_steps=rungs[0])
