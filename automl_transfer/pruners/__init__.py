"""Pruners: stop fine-tuning trials that are behind.

A pruner is a :class:`~automl_transfer.cards.PrunerCard` and a function
``build(*, rungs) -> optuna.pruners.BasePruner`` (:class:`BuildPruner`). Trials report the study's
metric at steps of the optimiser, not at epochs: an epoch of little data says nothing.
"""

from __future__ import annotations

from automl_transfer.cards import PrunerCard
from automl_transfer.contracts import BuildPruner

__all__ = ["BuildPruner", "PrunerCard"]
