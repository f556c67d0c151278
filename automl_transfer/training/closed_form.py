"""A linear classifier by a formula."""

from __future__ import annotations

import torch
from torch import nn

from automl_transfer.training.ridge import ridge_path


class RidgeClassifier(nn.Linear):
    """A linear layer that ridge regression sets; afterwards it may be trained like any other."""

    def fit(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        """Takes the penalty with the least log-loss of samples left out, from (n, d) features.

        The weights are divided by the temperature of those samples, so that the softmax of the
        scores is a probability, and not flat as that of a regression on zeros and ones would be.
        With weights of the classes, shape (c,), regression and log-loss are weighted.
        """
        path = ridge_path(
            features.cpu().numpy(),
            labels.cpu().numpy(),
            self.out_features,
            None if class_weights is None else class_weights.cpu().numpy(),
        )
        self.weight.copy_(torch.from_numpy(path.weights.T / path.temperature))
        self.bias.copy_(torch.from_numpy(path.intercept / path.temperature))
