"""The dear baselines: a default fine-tune without any search, and the winner from scratch."""

from __future__ import annotations

import math
import time

from automl_transfer.configuration import Configuration
from automl_transfer.generators import ended
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import DEFAULT_FINE_TUNE, FROM_SCRATCH
from automl_transfer.space import Space
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.evaluate import train
from automl_transfer.stages.forecast import BACKWARD
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.learning import learning_seconds
from automl_transfer.stages.spaces import fine_tuning_space, head_spaces
from automl_transfer.stages.yardstick import Made, Positions, Probabilities, Yardstick

EPOCHS = 5
"""Of the default fine-tune."""
LEAST_EPOCHS = 1
"""With less a fine-tune says nothing of what it could do, and is not run."""
SHARE = 0.06
"""Of a time budget, kept for each of the two."""
SHARE_OF_AN_EPOCH = 0.2
"""Of a time budget, kept for the first epoch of the default fine-tune if it takes more: without it
there is no telling what the search has gained."""
_SAFE = 1.3
_ROUNDING = 1e-6


def dear_seconds(context: Context, usual: Candidate, winner: Outcome | None) -> float:
    """Seconds of the budget that are kept for both baselines.

    Nothing is kept for one of which not even an epoch would fit: the search has more use for it.

    Args:
        context: Of the search.
        usual: The default backbone.
        winner: The trial that leads; None: there is none yet.
    """
    kept = _default_seconds(context, usual)
    return kept + (0.0 if winner is None else scratch_seconds(context, winner))


def _default_seconds(context: Context, usual: Candidate) -> float:
    steps = EPOCHS * _each(context, _default(context, usual))
    return _kept(context, usual, steps, SHARE_OF_AN_EPOCH)


def scratch_seconds(context: Context, winner: Outcome) -> float:
    """Of :func:`dear_seconds`, those for the winner from scratch."""
    candidate = context.candidates[winner.configuration.backbone]
    return _kept(context, candidate, _scratch_steps(context, candidate, winner), SHARE)


def _kept(context: Context, candidate: Candidate, steps: int, most: float) -> float:
    """Seconds for as many steps as :data:`SHARE` allows, or for the first epoch if that is no more
    than the share ``most``; their pass over the test part included."""
    budget = context.request.budget_seconds
    if budget is None or not fine_tunes(context):
        return 0.0
    configuration = _default(context, candidate)
    step = _SAFE * _step(candidate, configuration)
    passes = candidate.seconds_per_sample * len(context.splits.test)
    first = LEAST_EPOCHS * _each(context, configuration) * step + passes
    if first > most * budget:
        return 0.0
    return max(first, min(SHARE * budget, steps * step + passes))


def fine_tunes(context: Context) -> bool:
    """Whether the search itself may train backbones."""
    return any(card.trains_backbone for card in context.strategies)


def default_fine_tune(
    context: Context, yardstick: Yardstick, candidate: Candidate, winner: Outcome
) -> Made:
    """All stages of the default backbone with a linear head, at their default parameters."""
    configuration = _default(context, candidate)
    return _made(
        context,
        yardstick,
        candidate,
        configuration,
        name=DEFAULT_FINE_TUNE,
        what=f"{configuration.title}, all defaults, no search",
        wanted=EPOCHS * _each(context, configuration),
        kept=_default_seconds(context, candidate),
        after=scratch_seconds(context, winner),
    )


def from_scratch(context: Context, yardstick: Yardstick, winner: Outcome) -> Made:
    """The winner's architecture from random weights, for as long as the winner itself took.

    That is as many steps as its trial had; of a frozen winner the time of its trial and of the
    pass that gave its features, but an epoch at least. Without a time budget it is one epoch:
    seconds would make what is trained depend on the machine's mood.
    """
    candidate = context.candidates[winner.configuration.backbone]
    return _made(
        context,
        yardstick,
        candidate,
        _defaults(context, candidate, "scratch", _plain_head(context)),
        name=FROM_SCRATCH,
        what=f"{candidate.card.id} from random weights, as long as the winner trained, or an "
        "epoch if that is more",
        wanted=_scratch_steps(context, candidate, winner),
        kept=scratch_seconds(context, winner),
        after=0.0,
    )


def _scratch_steps(context: Context, candidate: Candidate, winner: Outcome) -> int:
    configuration = _default(context, candidate)
    steps: float = winner.steps
    if not steps and context.request.budget_seconds is not None:
        own = winner.seconds + candidate.seconds_per_sample * len(context.splits.development)
        steps = own / _step(candidate, configuration)
    return max(math.ceil(steps), LEAST_EPOCHS * _each(context, configuration))


def _made(
    context: Context,
    yardstick: Yardstick,
    candidate: Candidate,
    configuration: Configuration,
    *,
    name: str,
    what: str,
    wanted: int,
    kept: float,
    after: float,
) -> Made:
    if not fine_tunes(context):
        text = "not run: the search was limited to strategies that leave the backbone frozen"
        return Made(name=name, description=text)
    # Of several folds one is enough: the winner is compared on the samples of that fold.
    on = yardstick.first()
    ((learn, score),) = on.rounds
    step = _step(candidate, configuration)
    steps, each = wanted, _each(context, configuration)
    if context.request.budget_seconds is not None:
        passes = candidate.seconds_per_sample * len(score)
        # Its share, or what the search has left over.
        left = context.watch.left - closing_seconds() - passes
        room = min(left, max(kept - passes, left - after - learning_seconds(context)))
        steps = min(wanted, math.floor(room / (_SAFE * step) + _ROUNDING))
        if steps < LEAST_EPOCHS * each:
            needed = _SAFE * LEAST_EPOCHS * each * step
            return Made(
                name=name,
                description=f"not run: an epoch of {configuration.title} needs about "
                f"{needed:.0f} s, and {max(0.0, room):.0f} s were kept for it; a larger --budget "
                "runs it",
            )
    started = time.monotonic()
    found = _trained(context, candidate, configuration, learn, score, steps)
    spent = time.monotonic() - started
    epochs = steps / each
    short = "" if steps == wanted else f" ({wanted / each:.1f} did not fit into the budget)"
    return Made(
        name=name,
        description=f"{what}; {epochs:.1f} epochs{short}, {spent:.0f} s",
        probabilities=found,
        on=on,
    )


def _trained(
    context: Context,
    candidate: Candidate,
    configuration: Configuration,
    learn: Positions,
    score: Positions,
    steps: int,
) -> Probabilities:
    from automl_transfer.training.model_file import predict_probabilities

    result = ended(
        train(
            context,
            candidate,
            configuration,
            train_on=learn,
            evaluate_on=None,
            epochs=math.ceil(steps / _each(context, configuration)),
            steps=steps,
            seed=context.request.seed,
            should_stop=lambda: context.watch.left <= 0,
        )
    )
    encoder = context.encoder(candidate.card)
    return predict_probabilities(result.model, context.rows(encoder), score, context.device)


def _default(context: Context, candidate: Candidate) -> Configuration:
    return _defaults(context, candidate, "full", _plain_head(context))


def _defaults(context: Context, candidate: Candidate, strategy: str, head: str) -> Configuration:
    space = JointSpace(
        backbones=(candidate.card.id,),
        heads=head_spaces(context, [context.head(head)]),
        strategies={strategy: Space(context.strategy(strategy).space)},
        common=fine_tuning_space(context),
    )
    return space.default(candidate.card.id, head, strategy)


def _plain_head(context: Context) -> str:
    names = [card.id for card in context.tuned_heads()]
    return "linear" if "linear" in names or not names else names[0]


def _step(candidate: Candidate, configuration: Configuration) -> float:
    """Seconds of a step in which everything trains: a forward and a backward pass."""
    return _batch(configuration) * candidate.forward_seconds * (1 + BACKWARD)


def _each(context: Context, configuration: Configuration) -> int:
    """Steps of an epoch over all that may be learnt from."""
    return max(1, math.ceil(len(context.splits.development) / _batch(configuration)))


def _batch(configuration: Configuration) -> int:
    return int(configuration.params["training/batch_size"])
