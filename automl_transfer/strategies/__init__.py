"""Freeze strategies: which part of a backbone trains, when and how fast.

A strategy is a :class:`~automl_transfer.cards.StrategyCard` and a pure function
``plan(*, stages, params) -> FreezePlan`` (:class:`MakePlan`), free of torch. The host applies the
plan and proves that what it declared frozen did not move.
"""

from __future__ import annotations

from automl_transfer.cards import StrategyCard
from automl_transfer.contracts import MakePlan
from automl_transfer.plan import Adapter, FreezePlan, Phase, StageView

__all__ = ["Adapter", "FreezePlan", "MakePlan", "Phase", "StageView", "StrategyCard"]
