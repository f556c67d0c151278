"""Successive halving on epochs."""

from __future__ import annotations

import optuna

REDUCTION = 3


class SuccessiveHalving(optuna.pruners.BasePruner):
    """At epochs 1, 3, 9, ... only the best third of those that got there goes on.

    The first two go on in any case: they are the default recipes of a partial and of the full
    strategy on the best backbone, which every study should have.

    Asynchronous successive halving (Li et al., arXiv:1810.05934). Optuna's own pruner keeps what
    passed a rung in attributes of its trials; this one reads it off the curves, which our rows
    hold, so that a resumed search decides as an uninterrupted one would have.
    """

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is behind at the rung that it has just reached."""
        step = trial.last_step
        if step is None or not _is_rung(step):
            return False
        reached = [
            other.intermediate_values[step]
            for other in study.get_trials(deepcopy=False)
            if step in other.intermediate_values
        ]
        if len(reached) < REDUCTION:
            return False
        promoted = len(reached) // REDUCTION
        return trial.intermediate_values[step] < sorted(reached, reverse=True)[promoted - 1]


def _is_rung(step: int) -> bool:
    while step % REDUCTION == 0:
        step //= REDUCTION
    return step == 1
