"""From scores to predictions, and the loss between the two, for each kind of target.

A head gives scores, shape (n, c). The link (McCullagh and Nelder, Generalized Linear Models, 1989,
section 2.2.3, its inverse) makes predictions of them, and with the loss that belongs to it says
how models learn: softmax and cross-entropy for classes, the logistic function and binary
cross-entropy for labels, identity and squared error for numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch.nn import functional

from automl_transfer.kinds import Kind
from automl_transfer.target import Target


class Link(ABC):
    """Of one target."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def outputs(self) -> int:
        """Columns of scores and predictions."""
        return self.target.outputs

    def learned(self, targets: torch.Tensor) -> torch.Tensor:
        """What models learn in place of the targets, shape (n,) or (n, c)."""
        return targets

    @abstractmethod
    def predictions(self, scores: torch.Tensor) -> torch.Tensor:
        """Predictions of scores, of the same shape, (n, c) or (n, c, R), in float32."""

    def loss(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Mean loss of one model.

        Args:
            scores: Shape (n, c).
            learned: Of :meth:`learned`.
            class_weights: Of classes, shape (c,), with mean 1 over the samples of the training
                part, or None; of no use to other kinds.
            label_smoothing: Share of the target that is spread evenly; numbers have none.
        """
        return self.losses(
            scores.unsqueeze(2),
            learned,
            class_weights=None if class_weights is None else class_weights.unsqueeze(0),
            label_smoothing=scores.new_tensor([label_smoothing]) if label_smoothing else None,
        )[0]

    @abstractmethod
    def losses(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None,
        label_smoothing: torch.Tensor | None,
    ) -> torch.Tensor:
        """Mean losses of R models on the same samples, shape (R,); see :meth:`loss`.

        Args:
            scores: Shape (n, c, R).
            learned: Of :meth:`learned`.
            class_weights: Shape (R, c), or None.
            label_smoothing: Shape (R,), or None where no model has any.
        """


class SoftmaxLink(Link):
    """Of classes."""

    def predictions(self, scores: torch.Tensor) -> torch.Tensor:
        """Class probabilities."""
        return scores.float().softmax(dim=1)

    def loss(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Cross-entropy, each sample weighted by its class.

        Not divided by the weights of the batch, as torch's own is: where the samples of a small
        class are few in a batch or none, that would take back part of their weight. Of a weighted
        sample the smoothed part counts likewise, while torch smooths towards the heavy classes.
        """
        if class_weights is None:
            return functional.cross_entropy(scores, learned, label_smoothing=label_smoothing)
        each = functional.cross_entropy(
            scores, learned, label_smoothing=label_smoothing, reduction="none"
        )
        return (each * class_weights[learned]).mean()

    def losses(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None,
        label_smoothing: torch.Tensor | None,
    ) -> torch.Tensor:
        """Cross-entropy of each model."""
        n, _, models = scores.shape
        counts = None if class_weights is None else class_weights[:, learned].T  # (n, R)
        each = functional.cross_entropy(
            scores, learned.unsqueeze(1).expand(n, models), reduction="none"
        )
        found = (each if counts is None else each * counts).sum(dim=0) / n
        if label_smoothing is None:
            return found
        likely = scores.log_softmax(dim=1).mean(dim=1)  # (n, R)
        even = -(likely if counts is None else likely * counts).sum(dim=0) / n
        return (1 - label_smoothing) * found + label_smoothing * even


class LogisticLink(Link):
    """Of labels, each for itself."""

    def predictions(self, scores: torch.Tensor) -> torch.Tensor:
        """A probability for each label."""
        return scores.float().sigmoid()

    def learned(self, targets: torch.Tensor) -> torch.Tensor:
        """Zeros and ones as numbers."""
        return targets.float()

    def losses(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None,
        label_smoothing: torch.Tensor | None,
    ) -> torch.Tensor:
        """Binary cross-entropy of each model."""
        wanted = learned.unsqueeze(2).expand_as(scores)
        if label_smoothing is not None:
            wanted = wanted * (1 - label_smoothing) + 0.5 * label_smoothing
        each = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        return each.mean(dim=(0, 1))


class IdentityLink(Link):
    """Of numbers, which are learned less their mean and in units of their deviation."""

    def predictions(self, scores: torch.Tensor) -> torch.Tensor:
        """Numbers in the unit of the targets."""
        return scores.float() * self.target.scale + self.target.mean

    def learned(self, targets: torch.Tensor) -> torch.Tensor:
        """Shape (n,), in float32, with mean 0 and deviation 1 over the training part."""
        return ((targets.double() - self.target.mean) / self.target.scale).float()

    def losses(
        self,
        scores: torch.Tensor,
        learned: torch.Tensor,
        *,
        class_weights: torch.Tensor | None,
        label_smoothing: torch.Tensor | None,
    ) -> torch.Tensor:
        """Squared error of each model."""
        return (scores.squeeze(1) - learned.unsqueeze(1)).square().mean(dim=0)


_LINKS: dict[Kind, type[Link]] = {
    "single-label": SoftmaxLink,
    "multi-label": LogisticLink,
    "regression": IdentityLink,
}


def link_of(target: Target) -> Link:
    """The link that belongs to the kind of a target."""
    return _LINKS[target.kind](target)
