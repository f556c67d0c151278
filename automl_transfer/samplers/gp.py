"""Gaussian process with expected improvement."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from automl_transfer.cards import SamplerCard

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

CARD = SamplerCard(
    id="gp",
    factory="automl_transfer.samplers.gp:build",
    summary="Gaussian process; conditional parameters are drawn at random, 0.4 s a proposal",
)

STOPPED = 8
"""Of so many trials one ends, the others are stopped: Optuna counts only that one here."""
LEAST = 4


def build(*, seed: int, startup: int) -> BaseSampler:
    """Models the parameters that all trials share; Optuna samples the others independently."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import GPSampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GPSampler(seed=seed, n_startup_trials=max(LEAST, startup // STOPPED))
