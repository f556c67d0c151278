"""The folds that finalists go through, and what comes out of them, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.folds import random_folds
from automl_transfer.stages.yardstick import joined
from automl_transfer.withheld import Withheld

Probabilities = NDArray[np.float32]
Made = Mapping[int, Probabilities]
"""What finalists, by number, predicted for the samples of a round, shape (m, c) each."""

HALVES = 2
"""Folds of a round that withholds much, to see what withholding costs."""
_HALVES_FROM = 500
"""Seeds of their draws, beyond those of the folds."""
_LEAST_APART = 0.1
"""Of the samples, between learning from much and from little."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """A fold: what to learn from, and what to score."""

    repeat: int
    fold: int
    halved: bool = False
    """Whether half of the samples are withheld."""
    learn: NDArray[np.int64]
    """Positions in the data set, ascending."""
    score: NDArray[np.int64]


def planned(
    labels: NDArray[np.int64],
    units: NDArray[np.int64],
    development: NDArray[np.int64],
    scored: NDArray[np.int64],
    *,
    seed: int,
    folds: int,
    repeats: int = 1,
    halves: bool = False,
    enough: int | None = None,
) -> list[Round]:
    """Rounds in the order in which they are gone through: each repeat, then its halves.

    Args:
        labels: Of the data set, shape (n,).
        units: Shape (n,): samples of one unit are in one fold.
        development: Positions that are divided into folds.
        scored: Those of them that are scored.
        seed: Of the draws: ``seed`` + repeat for the folds, others for the halves.
        folds: How many.
        repeats: How often all of them.
        halves: Whether each repeat is done with two folds as well.
        enough: Samples scored, beyond which no further fold of a repeat is planned.
    """
    found: list[Round] = []
    for repeat in range(repeats):
        for halved in (False, True) if halves else (False,):
            count = HALVES if halved else folds
            drawn = seed + repeat + (_HALVES_FROM if halved else 0)
            fold = random_folds(labels[development], count, drawn, units[development])
            for place in range(count):
                score = np.intersect1d(development[fold == place], scored)
                learn = development[fold != place]
                if len(score):
                    found.append(
                        Round(repeat=repeat, fold=place, halved=halved, learn=learn, score=score)
                    )
                if enough is not None and sum(len(one.score) for one in found) >= enough:
                    break
    return found


def predicted(rounds: Sequence[tuple[Round, Made]], number: int) -> Probabilities:
    """One finalist's predictions in the order of the samples, shape (repeats, n, c)."""
    return np.stack(
        [
            joined([(one.score, made[number]) for one, made in rounds if one.repeat == repeat])
            for repeat in sorted({one.repeat for one, _ in rounds})
        ]
    )


def withheld(
    rounds: Sequence[tuple[Round, Made]],
    halves: Sequence[tuple[Round, Made]],
    samples: int,
) -> Withheld | None:
    """Both kinds of rounds side by side, of the finalists that have gone through all of them.

    Args:
        rounds: Usual ones: whole repeats.
        halves: Rounds with much withheld, in which a finalist may be missing.
        samples: Of the development part.

    Returns:
        None where the halves of no repeat have scored the same samples, or no finalist has.
    """
    if not rounds:
        return None
    positions = _scored(rounds, rounds[0][0].repeat)
    whole = {
        one.repeat for one, _ in halves if np.array_equal(_scored(halves, one.repeat), positions)
    }
    both = [(one, made) for one, made in halves if one.repeat in whole]
    numbers = [number for number in rounds[0][1] if all(number in made for _, made in both)]
    if not both or not numbers:
        return None
    much, little = (_learnt(some) / samples for some in (rounds, both))
    if not little + _LEAST_APART <= much < 1:
        return None
    return Withheld(
        much=[predicted(rounds, number) for number in numbers],
        little=[predicted(both, number) for number in numbers],
        much_share=much,
        little_share=little,
    )


def _scored(rounds: Sequence[tuple[Round, Made]], repeat: int) -> NDArray[np.int64]:
    return np.sort(np.concatenate([one.score for one, _ in rounds if one.repeat == repeat]))


def _learnt(rounds: Sequence[tuple[Round, Made]]) -> float:
    """Samples that the models learnt from, mean over the samples that they scored."""
    counts = [len(one.score) for one, _ in rounds]
    return float(np.average([len(one.learn) for one, _ in rounds], weights=counts))
