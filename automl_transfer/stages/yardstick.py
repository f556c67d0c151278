"""What the answer and the baselines are scored on: the test part, or the same fresh folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.stages.context import Context

Positions = NDArray[np.int64]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """Samples that are scored, in one or several rounds, each with what may be learnt from."""

    source: str
    """``test``, ``cross-validation`` or ``validation``."""
    rounds: tuple[tuple[Positions, Positions], ...]
    """What to learn from, and what to score: positions in the data set."""

    @property
    def positions(self) -> Positions:
        """All that is scored, ascending, shape (n,)."""
        return np.sort(np.concatenate([score for _, score in self.rounds]))

    def predicted(
        self, predict: Callable[[Positions, Positions], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Predictions for :attr:`positions`, shape (n, c), of a function of a round."""
        return joined([(score, predict(learn, score)) for learn, score in self.rounds])

    def first(self) -> Yardstick:
        """The first round alone, for what is too dear to be done for all."""
        return Yardstick(source=self.source, rounds=self.rounds[:1])


def joined(parts: Sequence[tuple[Positions, Probabilities]]) -> Probabilities:
    """Predictions of several rounds in the order of their samples' positions, shape (n, c)."""
    order = np.argsort(np.concatenate([score for score, _ in parts]), kind="stable")
    found: Probabilities = np.concatenate([made for _, made in parts])[order]
    return found


@dataclass(frozen=True, kw_only=True)
class Made:
    """A baseline before it is scored."""

    name: str
    description: str
    probabilities: Probabilities | None = None
    """Of the samples of ``on``; None: it was not run."""
    on: Yardstick | None = None
    """None: what the winner was scored on."""


def yardstick(context: Context) -> Yardstick:
    """The test part; without one, the first repeat of the folds, or else the validation part."""
    splits = context.splits
    if len(splits.test):
        return Yardstick(source="test", rounds=((splits.development, splits.test),))
    if context.confirmed is not None:
        rounds = [one for one in context.confirmed.rounds if not one.repeat]
        pairs = tuple((one.learn, one.score) for one in rounds)
        return Yardstick(source="cross-validation", rounds=pairs)
    return Yardstick(source="validation", rounds=((splits.train, splits.val),))
