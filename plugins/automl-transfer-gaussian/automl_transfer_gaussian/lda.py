"""The head: a linear layer that the formula sets."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from automl_transfer.space import Scalar
from automl_transfer_gaussian.discriminant import discriminant
from automl_transfer_gaussian.left_out import left_out
from automl_transfer_gaussian.moments import moments
from automl_transfer_gaussian.sharpness import sharpness
from automl_transfer_gaussian.shrinkage import shrinkage
from automl_transfer_gaussian.spectrum import spectrum


class LinearDiscriminant(nn.Linear):
    """Linear discriminant analysis; afterwards it may be trained like any other linear layer."""

    def __init__(self, width: int, classes: int, params: Mapping[str, Scalar]) -> None:
        super().__init__(width, classes)
        self._params = dict(params)

    def fit(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        """Sets the layer such that a softmax of its scores makes calibrated probabilities.

        Memory: some 24 bytes for each number of the features.

        Args:
            features: Shape (n, d), n >= 1, finite.
            labels: Shape (n,); a class may have no sample.
            class_weights: Shape (c,), or None. A class of weight 2 counts as if each of its
                samples were there twice: in the priors and in the covariance.
        """
        present, own = np.unique(labels.cpu().numpy(), return_inverse=True)
        weights = None if class_weights is None else class_weights.cpu().numpy()[present]
        of = moments(features.cpu().numpy(), own, weights)
        within = spectrum(of)
        amount = shrinkage(of, within, self._params)
        found = discriminant(within, of.priors, amount)
        factor, _ = sharpness(left_out(of, within, amount))
        # A class without samples scores what the others do in the mean, less so much that it is
        # never the most likely one.
        weight = np.tile(of.priors @ found.weights, (self.out_features, 1))
        bias = np.full(self.out_features, of.priors @ found.intercept)
        bias -= math.log(len(own) + 1) / factor
        weight[present], bias[present] = found.weights, found.intercept
        self.weight.copy_(torch.from_numpy((factor * weight).astype(np.float32)))
        self.bias.copy_(torch.from_numpy((factor * bias).astype(np.float32)))


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> LinearDiscriminant:
    """A linear layer whose ``fit`` is linear discriminant analysis (Fisher, The Use of Multiple
    Measurements in Taxonomic Problems, Annals of Eugenics 7, 1936)."""
    return LinearDiscriminant(width, classes, params)
