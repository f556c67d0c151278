"""The cards. Nothing heavy is imported here."""

from __future__ import annotations

from automl_transfer import hookimpl
from automl_transfer.cards import StrategyCard
from automl_transfer.space import Choice, Float, Int

AUTOML_TRANSFER_API = (1, 0)

WEIGHT_DECAY = Float(name="weight_decay", low=1e-4, high=0.3, default=1e-2, log=True)

UNFREEZING = StrategyCard(
    id="gradual/unfreezing",
    factory="automl_transfer_gradual.unfreezing:plan",
    summary="the last group trains, then more and more, the earlier the slower",
    space=(
        # In a training of few steps a phase of its own leaves each group little time: on 700
        # images and 150 steps two groups did as well as three, and four did worse.
        Int(name="groups", low=2, high=4, default=2),
        Float(name="factor", low=1.3, high=5.2, default=2.6, log=True),
        Float(name="lr", low=3e-5, high=3e-3, default=1e-3, log=True),
        WEIGHT_DECAY,
    ),
)

SURGICAL = StrategyCard(
    id="gradual/surgical",
    factory="automl_transfer_gradual.surgical:plan",
    summary="one block trains: the first, the last, or one between",
    space=(
        # The first and the last stages have built-in strategies of their own; the default is one
        # for which there is none.
        Choice(name="depth", choices=(0.0, 0.25, 0.5, 0.75, 1.0), default=0.75),
        Float(name="lr", low=1e-5, high=3e-3, default=1e-3, log=True),
        WEIGHT_DECAY,
    ),
)


@hookimpl
def automl_transfer_freeze_strategies() -> list[StrategyCard]:
    """Both."""
    return [UNFREEZING, SURGICAL]
