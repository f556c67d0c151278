"""Hyperband."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import PrunerCard

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

CARD = PrunerCard(
    id="hyperband",
    factory="automl_transfer.pruners.hyperband:build",
    summary="successive halving in several brackets (Li et al., arXiv:1603.06560)",
)


def build(*, rungs: Sequence[int]) -> BasePruner:
    """Brackets between the first rung and the full length; needs some ten trials for each."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=rungs[0], max_resource=max(rungs[-1], 1 + rungs[0]), reduction_factor=3
    )
