"""Tree-structured Parzen estimator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from automl_transfer.cards import SamplerCard

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

CARD = SamplerCard(
    id="tpe",
    factory="automl_transfer.samplers.tpe:build",
    summary="tree-structured Parzen estimator over the conditional space, in groups",
)


def build(*, seed: int, startup: int) -> BaseSampler:
    """Bergstra et al. (2011, NeurIPS 24), multivariate in the groups of parameters that occur
    together: over a flattened space it was .7 points worse after 80 trials."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=startup,
            seed=seed,
        )
