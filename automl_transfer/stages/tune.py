"""Tune: strategies that train the backbone, on the best screened backbones.

An Optuna study of its own: hundreds of cheap frozen trials in the same study would fill TPE's
"bad" side with every fine-tune (regret 0.3 to 7 points, docs/decisions/0002).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from automl_transfer.configuration import Configuration
from automl_transfer.events import Event, Note, StageStarted
from automl_transfer.space import Choice, Scalar, Space
from automl_transfer.stages.context import Candidate, Context, finished
from automl_transfer.stages.evaluate import evaluate
from automl_transfer.stages.halving import SuccessiveHalving
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.proposals import Proposals

NAME = "tune"
ARMS = 3
"""Backbones that are fine-tuned at the most."""
EPOCHS = 5
"""Epochs of a trial when the budget is in trials."""
MOST_EPOCHS = 12
BACKWARD = 2.5
"""A backward pass through the whole network, in forward passes (measured 1.9 to 3.5)."""
WINDOW_SHARE = 0.35
"""Of the time for tuning that one full fine-tune may take; sets the number of epochs."""
MARGIN = 1.3
"""A trial is begun only if this many times its predicted time is left."""
REFUSALS = 5
"""Proposals in a row that do not fit into the time left before the stage ends."""
ORDER = ("last-stages", "full", "norm-bias", "lora", "first-stages")
"""Default recipes are tried in this order; strategies of others come after."""

TRAINING = Space(
    (
        Choice(name="batch_size", choices=(16, 32), default=32),
        Choice(name="label_smoothing", choices=(0.0, 0.1), default=0.0),
    )
)


def tune(context: Context, reserve: float) -> Iterator[Event]:
    """Tries default recipes first, then what TPE proposes; successive halving prunes.

    Args:
        context: With screened candidates, and their heads tried if any strategy is frozen.
        reserve: Seconds to leave for the end of the search.
    """
    strategies = [card for card in context.strategies if card.trains_backbone]
    if not strategies:
        return
    arms = choose_arms(context)
    window = context.watch.left - reserve
    epochs = choose_epochs(context, arms, window)
    common = {"training": TRAINING}
    if context.modality_card.space:
        common[f"modality/{context.task.modality}"] = Space(context.modality_card.space)
    space = JointSpace(
        backbones=tuple(sorted(candidate.card.id for candidate in arms)),
        heads={card.id: Space(card.space) for card in context.heads},
        strategies={card.id: Space(card.space) for card in strategies},
        common=common,
    )
    past = [row for row in context.outcomes if row.stage == NAME]
    proposals = Proposals(
        space=space,
        seed=context.request.seed,
        past=past,
        pruner=SuccessiveHalving(),
    )
    proposals.enqueue(_recipes(context, space, arms))
    yield StageStarted(stage=NAME, detail=f"{len(arms)} backbones, {epochs} epochs a trial")
    refused = 0
    while context.trials_left() > 0 and context.watch.left > reserve and refused < REFUSALS:
        configuration = proposals.next(context.next_number)
        if configuration is None:
            break
        needed = predict_seconds(context, configuration, epochs) * MARGIN
        if needed > context.watch.left - reserve:
            refused += 1
            proposals.put_back()
            context.exclude(
                configuration.title,
                f"about {needed:.0f} s of fine-tuning did not fit into the budget that was left",
            )
            continue
        refused = 0
        yield from evaluate(
            context,
            proposals,
            configuration,
            number=context.next_number,
            stage=NAME,
            epochs=epochs,
            should_stop=lambda: context.watch.left <= reserve,
        )
    if refused >= REFUSALS:
        text = (
            "Fine-tuning ended early: nothing that was proposed would have fitted into the "
            f"{max(0.0, context.watch.left - reserve):.0f} s that were left for it. A larger "
            "--budget tries more."
        )
        context.notes.append(text)
        yield Note(text=text)


def choose_arms(context: Context) -> list[Candidate]:
    """The backbones worth fine-tuning: by their best frozen trial, else by their screening."""
    best: dict[str, float] = {}
    for row in context.outcomes:
        if row.stage != NAME and row.state == "finished" and row.value is not None:
            name = row.configuration.backbone
            best[name] = max(best.get(name, -math.inf), row.value)
    ranked = sorted(
        context.candidates.values(),
        key=lambda candidate: (
            -best.get(candidate.card.id, -math.inf),
            -candidate.score,
            candidate.card.id,
        ),
    )
    return ranked[:ARMS]


def choose_epochs(context: Context, arms: list[Candidate], window: float) -> int:
    """Epochs of every trial of this stage; the same for all, so that curves can be compared."""
    stored = context.store.get("plan", {}).get("epochs")
    if stored is not None:
        return int(stored)
    if context.request.epochs is not None:
        epochs = context.request.epochs
    elif context.request.budget_seconds is None:
        epochs = EPOCHS
    else:
        cost = statistics.median(_epoch_seconds(context, arm) for arm in arms)
        affordable = window * WINDOW_SHARE / cost if cost > 0 else MOST_EPOCHS
        epochs = max(1, min(MOST_EPOCHS, int(affordable)))
    context.store.put("plan", {"epochs": epochs})
    return epochs


def _epoch_seconds(context: Context, arm: Candidate, reach: float = 1.0) -> float:
    """One epoch of training, and one look at the validation part.

    Args:
        context: For the sizes of the parts.
        arm: The backbone, with its measured forward pass.
        reach: Share of the stages that the backward pass goes through.
    """
    train, val = len(context.splits.train), len(context.splits.val)
    return arm.seconds_per_sample * ((1 + BACKWARD * reach) * train + val)


def _reach(context: Context, configuration: Configuration, arm: Candidate) -> float:
    """Share of the stages from the first one that trains to the end."""
    try:
        plan = context.registry.load(context.strategy(configuration.strategy))(
            stages=arm.views, params=configuration.of("strategy", configuration.strategy)
        )
        trains = {name for phase in plan.phases for name in phase.trains}
    except Exception:  # a plugin's bug: the trial itself will say so
        return 1.0
    first = next((place for place, view in enumerate(arm.views) if view.name in trains), 0)
    return (len(arm.views) - first) / max(1, len(arm.views))


def predict_seconds(context: Context, configuration: Configuration, epochs: int) -> float:
    """Predicted time of a trial: from trials alike where there are any, else from the probe."""
    alike = [
        row.seconds / row.curve[-1].epoch
        for row in context.outcomes
        if row.stage == NAME
        and row.curve
        and row.configuration.backbone == configuration.backbone
        and row.configuration.strategy == configuration.strategy
        and row.device == str(context.device)
    ]
    if alike:
        return statistics.median(alike[-5:]) * epochs
    arm = context.candidates[configuration.backbone]
    return _epoch_seconds(context, arm, _reach(context, configuration, arm)) * epochs


def _recipes(context: Context, space: JointSpace, arms: list[Candidate]) -> list[Configuration]:
    """Each strategy at its defaults on each backbone with its best head, likely ones first."""
    order = {name: place for place, name in enumerate(ORDER)}
    strategies = sorted(space.strategies, key=lambda name: (order.get(name, len(order)), name))
    found = []
    for place, arm in enumerate(arms):
        head, params = _best_head(context, arm.card.id)
        for rank, strategy in enumerate(strategies):
            found.append((place + rank, place, space.default(arm.card.id, head, strategy, params)))
    # Diagonally: a worse backbone's first recipe comes with a better one's second.
    return [configuration for _, _, configuration in sorted(found, key=lambda item: item[:2])]


def _best_head(context: Context, backbone: str) -> tuple[str, dict[str, Scalar]]:
    frozen = [
        row
        for row in finished(context.outcomes)
        if row.stage != NAME
        and row.configuration.backbone == backbone
        and any(row.configuration.head == card.id for card in context.heads)
    ]
    if not frozen:
        return context.heads[0].id, {}
    best = frozen[0].configuration
    return best.head, {
        name: value for name, value in best.params.items() if name.startswith("head/")
    }
