"""Independent random proposals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer.cards import SamplerCard

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

CARD = SamplerCard(
    id="random",
    factory="automl_transfer.samplers.random:build",
    summary="random proposals, whatever came of earlier ones",
)


def build(*, seed: int, startup: int) -> BaseSampler:
    """Random search (Bergstra and Bengio 2012, JMLR 13)."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)
