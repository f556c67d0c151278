"""No pruning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import PrunerCard

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

CARD = PrunerCard(
    id="none",
    factory="automl_transfer.pruners.none:build",
    summary="every trial is trained to its end",
)


def build(*, rungs: Sequence[int]) -> BasePruner:
    """Optuna's pruner that never prunes."""
    from optuna.pruners import NopPruner

    return NopPruner()
