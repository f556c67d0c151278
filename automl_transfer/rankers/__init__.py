"""Rankers: order backbones before any training, from their frozen features.

A ranker is a :class:`~automl_transfer.cards.RankerCard` and a function
``score(*, features, labels, classes, seed) -> float`` (:class:`Rank`); higher is better. Features
may be memory-mapped: read them in blocks. Scores of one ranker are compared with each other alone.
"""

from __future__ import annotations

from automl_transfer.cards import RankerCard
from automl_transfer.contracts import Rank

__all__ = ["Rank", "RankerCard"]
