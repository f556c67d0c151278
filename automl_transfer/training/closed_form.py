"""A linear layer by a formula."""

from __future__ import annotations

import torch
from torch import nn

from automl_transfer.training.ridge import ridge_path


class RidgeHead(nn.Linear):
    """A linear layer that ridge regression sets; afterwards it may be trained like any other."""

    def fit(
        self,
        features: torch.Tensor,
        learned: torch.Tensor,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        """Takes the penalty with the least loss of samples left out, from (n, d) features.

        The weights are such that the link makes calibrated probabilities of the scores: those of a
        regression on zeros and ones would be flat. With weights of the classes, shape (c,),
        regression and log-loss are weighted.

        Args:
            features: Shape (n, d).
            learned: Classes, shape (n,); labels as zeros and ones, shape (n, c); or numbers.
            class_weights: Shape (c,), or None.
        """
        path = ridge_path(
            features.cpu().numpy(),
            learned.cpu().numpy(),
            self.out_features,
            None if class_weights is None else class_weights.cpu().numpy(),
        )
        self.weight.copy_(torch.from_numpy(path.weights.T * path.slope[:, None]))
        self.bias.copy_(torch.from_numpy(path.intercept * path.slope + path.shift))
