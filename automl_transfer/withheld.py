"""What a model gains from the samples that the folds withhold from it.

A model that is scored by folds has learnt from nine tenths of the samples, say; the one that is
delivered learns from all, and scores higher. By how much is measured where the difference is
large enough to be seen, between half of the samples and nine tenths, and carried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics import prepare
from automl_transfer.target import Targets

EXPONENT = 0.5
"""c of the learning curve a - b n^-c. The outcome hardly depends on it, since a is never asked
for: from 9/10 to all of the samples, a curve gains .16 times what it gained from 1/2 to 9/10 with
c = .25, .15 with .5 and .125 with 1."""
EXPONENTS = (0.25, 1.0)
"""Between these c is taken to lie in the interval: curves of trained heads have been seen to
(Viering and Loog, The Shape of Learning Curves, arXiv:2103.10948, section 3)."""


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """Predictions of the same samples after learning from much and from little of the data.

    Several contenders: what is gained is averaged over all, since it is a small number between
    two noisy ones, and the winner was chosen for a score that may be too high.
    """

    much: Sequence[NDArray[np.floating]]
    """Of each contender, shape (repeats, n, c), of models that had not seen the sample."""
    little: Sequence[NDArray[np.floating]]
    """Likewise, after learning from less; perhaps with another number of repeats."""
    much_share: float
    """Of all samples, that the models of :attr:`much` learnt from; below 1."""
    little_share: float
    """Likewise; smaller."""
    delivered_share: float = 1.0
    """Likewise, of the model whose score is asked for."""

    def gained(
        self, targets: Targets, metric: str, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What learning from much instead of little has gained, for each row of weights.

        Args:
            targets: Of n samples.
            metric: See :func:`.metrics.prepare`.
            weights: Of the samples, shape (r, n).

        Returns:
            Mean of the contenders, shape (r,), in units of the metric; NaN where it is not
            defined.
        """
        gains = [
            prepare(metric, more, targets)(weights) - prepare(metric, less, targets)(weights)
            for more, less in zip(self.much, self.little, strict=True)
        ]
        return np.asarray(np.mean(gains, axis=0))

    def times(self, exponent: float | NDArray[np.float64] = EXPONENT) -> NDArray[np.float64]:
        """How much of that gain is still to come until the delivered model.

        For a score of a - b n^-c after n samples, (m^-c - d^-c) / (l^-c - m^-c) with the shares d
        of the delivered model, m of much and l of little: neither a nor b is needed. Negative for
        a model that has learnt from less than those of :attr:`much`.
        """
        shares = (self.delivered_share, self.much_share, self.little_share)
        delivered, much, little = (np.power(share, -exponent) for share in shares)
        return np.asarray((much - delivered) / (little - much))
