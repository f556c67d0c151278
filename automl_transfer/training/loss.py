"""The loss that everything is trained with."""

from __future__ import annotations

import torch
from torch.nn import functional


def cross_entropy(
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    class_weights: torch.Tensor | None,
    label_smoothing: float,
) -> torch.Tensor:
    """Mean cross-entropy of class scores, shape (n, c), each sample weighted by its class.

    Not divided by the weights of the batch, as torch's own is: where the samples of a small class
    are few in a batch or none, that would take back part of their weight. Of a weighted sample
    the smoothed part counts likewise, while torch smooths towards the heavy classes.

    Args:
        scores: Shape (n, c).
        labels: Shape (n,).
        class_weights: Shape (c,), with mean 1 over the samples of the training part, or None.
        label_smoothing: Share of the target that is spread evenly.
    """
    if class_weights is None:
        return functional.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    each = functional.cross_entropy(
        scores, labels, label_smoothing=label_smoothing, reduction="none"
    )
    return (each * class_weights[labels]).mean()
