"""Search spaces as the target of a search allows them."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.cards import HeadCard
from automl_transfer.space import Choice, Param, Space
from automl_transfer.stages.context import Context

SMOOTHING = "label_smoothing"
TRAINING = (
    Choice(name="batch_size", choices=(16, 32), default=32),
    Choice(name=SMOOTHING, choices=(0.0, 0.1), default=0.0),
)
"""Of every strategy that trains the backbone."""


def head_spaces(context: Context, heads: Sequence[HeadCard]) -> dict[str, Space]:
    """Of some heads, by id."""
    return {card.id: Space(_meaningful(context, card.space)) for card in heads}


def fine_tuning_space(context: Context, more: Sequence[Param] = ()) -> dict[str, Space]:
    """What all fine-tunes share, by prefix: the training's parameters and the modality's.

    Args:
        context: Of the search.
        more: Parameters of the training beside :data:`TRAINING`.
    """
    found = {"training": Space((*_meaningful(context, TRAINING), *more))}
    if context.modality_card.space:
        found[f"modality/{context.task.modality}"] = Space(context.modality_card.space)
    return found


def _meaningful(context: Context, params: Sequence[Param]) -> tuple[Param, ...]:
    """Numbers have no labels to smooth."""
    numbers = context.task.target.kind == "regression"
    return tuple(param for param in params if not (numbers and param.name == SMOOTHING))
