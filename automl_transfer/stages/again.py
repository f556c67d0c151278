"""Trains configurations that have ended well once more, on other samples and with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.generators import ended
from automl_transfer.outcome import Outcome
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.evaluate import Stop, train
from automl_transfer.stages.head_building import (
    class_weights,
    head_builder,
    head_run,
    train_together,
)

if TYPE_CHECKING:
    from automl_transfer.training.trial import TrialResult

Probabilities = NDArray[np.float32]


def heads_again(
    context: Context,
    candidate: Candidate,
    rows: Sequence[Outcome],
    *,
    learn: NDArray[np.int64],
    score: NDArray[np.int64],
    seed: int,
    should_stop: Stop,
) -> list[Probabilities | Exception]:
    """Heads on the frozen features of one backbone, those that read the same of it together.

    Args:
        context: Of the search.
        candidate: The backbone of all of them.
        rows: What to train.
        learn: Positions of the development part to learn from.
        score: Likewise, to predict, shape (n,).
        seed: Of heads and batches.
        should_stop: Looked at after each step.

    Returns:
        Predictions for ``score``, shape (n, c), or what went wrong, in the order of
        ``rows``.
    """
    from automl_transfer.training.frozen import FrozenFeatures, fitted

    found: dict[int, Probabilities | Exception] = {}
    numbered = list(enumerate(rows))
    for view, own in context.by_view(candidate, numbered, lambda pair: pair[1].configuration):
        data = FrozenFeatures.scaled(
            view.features,
            view.places(learn),
            context.dataset.targets[learn],
            view.places(score),
            context.files.path,
            view.widths,
        )
        runs, places = [], []
        for place, row in own:
            configuration = row.configuration
            build = partial(head_builder(context, configuration), view.width)
            try:
                if context.head(configuration.head).closed_form:
                    weights = class_weights(context, configuration, data)
                    found[place] = fitted(build, data, seed, context.link, weights).probabilities
                    continue
                runs.append(head_run(context, configuration, build, data, seed))
            except (Exception, SystemExit) as error:
                found[place] = RuntimeError(str(error))
                continue
            places.append(place)
        if runs:
            steps = train_together(context, runs, data, seed=seed, should_stop=should_stop)
            for result in ended(steps):
                found[places[result.run]] = result.error or result.probabilities
        del data  # before the copies of the next view are made
    missing = RuntimeError("its head cannot read this backbone any more")
    return [found.get(place, missing) for place in range(len(rows))]


def tuned_again(
    context: Context,
    candidate: Candidate,
    row: Outcome,
    *,
    learn: NDArray[np.int64],
    score: NDArray[np.int64],
    seed: int,
    should_stop: Stop,
) -> Probabilities:
    """A fine-tune, for as many epochs as its trial had.

    Returns:
        Predictions for ``score``, shape (n, c).

    Raises:
        TrialError: It failed, or ``should_stop`` said so.
    """
    run = train(
        context,
        candidate,
        row.configuration,
        train_on=learn,
        evaluate_on=score,
        epochs=row.epochs,
        steps=round(row.steps * len(learn) / len(context.splits.train)) or None,
        seed=seed,
        should_stop=should_stop,
    )
    result: TrialResult = ended(run)
    return result.probabilities


def again_seconds(context: Context, row: Outcome, learn: int) -> float:
    """Expected seconds to train a trial's configuration once more.

    Not what the trial took: what crosses the border of its frozen part is computed by now.

    Args:
        context: Of the search.
        row: A trial that has ended well.
        learn: Samples to learn from.
    """
    more = learn / max(1, len(context.splits.train))
    if context.is_frozen(row.configuration):
        return row.seconds * more
    return context.forecast.seconds(row.configuration, max(1, round(row.steps * more)))
