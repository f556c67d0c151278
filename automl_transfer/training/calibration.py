"""How scores become probabilities: their sharpness in a softmax, or a logistic curve each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

_LOWEST, _HIGHEST = -1, 7
"""Powers of two of the sharpness that are looked at."""
_NEWTON = 12
_ROWS = 4096
"""Of scores whose powers are held at once."""
_USUAL = 0.25
"""Deviation of scores that the grid suits: about that of a regression on zeros and ones."""


def grid_sharpness() -> NDArray[np.float64]:
    """The sharpnesses of :class:`SharpnessGrid`, from 1/2 to 128, half a power of two apart."""
    return 2.0 ** (np.arange(2 * (_HIGHEST - _LOWEST) + 1) / 2 + _LOWEST)


def spread(samples: float) -> float:
    """Share of each label that is laid evenly on all classes: 1 / (samples + 1).

    Scores without a single mistake would else ask for infinite sharpness (Platt 1999, section 2.2,
    smooths the targets of his sigmoid for that reason).
    """
    return 1.0 / (samples + 1.0)


class SharpnessGrid:
    """Log-loss of many score matrices at many sharpnesses, added up block by block.

    Args:
        settings: How many score matrices, L.
        samples: Of all blocks together.
    """

    def __init__(self, settings: int, samples: float) -> None:
        self._spread = spread(samples)
        self._sums = np.zeros((settings, len(grid_sharpness())))
        self._weight = 0.0

    def add(
        self,
        scores: NDArray[np.float64],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> None:
        """Adds a block: scores of shape (b, L, c), labels and weights of shape (b,)."""
        gaps = (scores - scores.max(axis=2, keepdims=True)).astype(np.float32)
        own = np.take_along_axis(gaps, labels[:, None, None], axis=2)[:, :, 0]
        wanted = weights @ ((1 - self._spread) * own + self._spread * gaps.mean(axis=2))  # (L,)
        for half in (0, 1):
            # exp(2 b z) is the square of exp(b z): one exponential serves a whole octave chain.
            powers = np.exp(gaps * np.float32(2.0 ** (_LOWEST + half / 2)))
            for octave in range(_HIGHEST - _LOWEST + 1 - half):
                place = 2 * octave + half
                normaliser = weights @ np.log(powers.sum(axis=2))
                self._sums[:, place] += normaliser - grid_sharpness()[place] * wanted
                np.square(powers, out=powers)
        self._weight += float(weights.sum())

    def best(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sharpness and log-loss of each score matrix, each of shape (L,).

        The lowest point of the parabola through the best point of the grid and its neighbours.
        """
        losses = self._sums / self._weight
        middle = np.clip(losses.argmin(axis=1), 1, losses.shape[1] - 2)
        rows = np.arange(len(losses))
        before, here, after = (losses[rows, middle + step] for step in (-1, 0, 1))
        bend = before - 2 * here + after
        with np.errstate(divide="ignore", invalid="ignore"):
            move = np.where(bend > 0, 0.5 * (before - after) / bend, 0.0)
        move = np.clip(move, -1.0, 1.0)
        sharpness = grid_sharpness()[middle] * 2.0 ** (move / 2)
        return sharpness, here + 0.5 * move * (after - before) + 0.5 * move**2 * bend


def fit_sharpness(
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    start: float,
) -> float:
    """The sharpness b at which softmax(b scores) has the least log-loss, by Newton's method.

    The log-loss is convex in b (temperature scaling with b = 1 / T; Guo et al., arXiv:1706.04599).

    Args:
        scores: Shape (n, c).
        labels: Shape (n,).
        weights: Shape (n,).
        start: Near the solution.
    """
    share = spread(len(scores))
    gaps = scores - scores.max(axis=1, keepdims=True)
    wanted = (1 - share) * gaps[np.arange(len(gaps)), labels] + share * gaps.mean(axis=1)
    bounds = grid_sharpness()[[0, -1]]
    sharpness = start
    for _ in range(_NEWTON):
        likely = softmax(sharpness * gaps)
        mean = (likely * gaps).sum(axis=1)
        slope = weights @ (mean - wanted)
        bend = weights @ ((likely * gaps**2).sum(axis=1) - mean**2)
        if bend <= 0:
            break
        # At most a factor of two at a time: far from the solution the curve is nearly flat.
        new = np.clip(sharpness - slope / bend, sharpness / 2, sharpness * 2)
        new = float(np.clip(new, *bounds))
        if abs(new - sharpness) < 1e-9 * sharpness:
            break
        sharpness = new
    return sharpness


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis."""
    found: NDArray[np.float64] = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found /= found.sum(axis=-1, keepdims=True)
    return found


def logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """A probability for each score."""
    found: NDArray[np.float64] = special.expit(scores)
    return found


def fit_logistic(
    scores: NDArray[np.float64], sets: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and shift of each label, shape (c,) each, that make its scores probabilities.

    Maximum likelihood with Platt's targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2) (Probabilistic
    Outputs for Support Vector Machines, 1999, section 2.2): no finite sample makes sure. The slope
    is never negative, so that scores keep their order.

    Args:
        scores: Of samples that the model has not seen, shape (n, c).
        sets: Which labels hold, shape (n, c).
    """
    found = [_fit_logistic(column, sets[:, place] > 0) for place, column in enumerate(scores.T)]
    slopes, shifts = np.array(found).reshape(-1, 2).T
    return slopes, shifts


def _fit_logistic(scores: NDArray[np.float64], holds: NDArray[np.bool_]) -> tuple[float, float]:
    yes = int(holds.sum())
    no = len(holds) - yes
    wanted = np.where(holds, (yes + 1) / (yes + 2), 1 / (no + 2))
    centre, size = scores.mean(), scores.std()
    size = size if size > 0 else 1.0
    unit = (scores - centre) / size

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        exponent = at[0] * unit + at[1]
        value = np.logaddexp(0, exponent) - wanted * exponent
        off = special.expit(exponent) - wanted
        return float(value.mean()), np.array([(off * unit).mean(), off.mean()])

    start = np.array([1.0, special.logit((yes + 1) / (len(holds) + 2))])
    bounds = [(0.0, None), (None, None)]
    at = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(at[0] / size), float(at[1] - at[0] * centre / size)


def best_sharpness(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The best sharpness of scores of any size, and the log-loss that it leads to, in nats.

    Args:
        scores: Shape (n, c).
        labels: Shape (n,).
    """
    size = float(scores.std(axis=1).mean())
    unit = _USUAL / size if size > 0 else 1.0
    weights = np.ones(len(scores))
    grid = SharpnessGrid(1, len(scores))
    for start in range(0, len(scores), _ROWS):
        rows = slice(start, start + _ROWS)
        grid.add(unit * scores[rows, None], labels[rows], weights[rows])
    (start,), (log_loss,) = grid.best()
    return unit * fit_sharpness(unit * scores, labels, weights, float(start)), float(log_loss)
