"""Heads: from features of shape (n, width) to class scores of shape (n, classes).

A head is a :class:`~automl_transfer.cards.HeadCard` and a factory
``build(*, width, classes, params) -> torch.nn.Module`` (:class:`BuildHead`). The features that it
gets are standardised by the host. A parameter named ``lr`` or ``weight_decay`` in the card's space
is what the host trains the head with while the backbone is frozen.
"""

from __future__ import annotations

from automl_transfer.cards import HeadCard
from automl_transfer.contracts import BuildHead

__all__ = ["BuildHead", "HeadCard"]
