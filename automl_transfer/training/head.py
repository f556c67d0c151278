"""Trains a head on frozen features: no forward pass of the backbone, no augmentation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from automl_transfer.errors import DivergedError
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import batch_of, give_back, slices
from automl_transfer.training.schedule import factor


def fit(
    head: nn.Module,
    features: torch.Tensor,
    learned: torch.Tensor,
    class_weights: torch.Tensor | None = None,
) -> bool:
    """Calls the head's own ``fit`` where it has one; returns whether it has.

    Args:
        head: With or without ``fit``.
        features: Shape (n, d).
        learned: Of :meth:`.link.Link.learned`, shape (n,) or (n, c).
        class_weights: Shape (c,), for a ``fit`` that takes them; or None.
    """
    method = getattr(head, "fit", None)
    if method is None:
        return False
    with torch.no_grad():
        if class_weights is not None and "class_weights" in inspect.signature(method).parameters:
            method(features, learned, class_weights=class_weights)
        else:
            method(features, learned)
    return True


def scores_of(
    classify: Callable[[torch.Tensor], torch.Tensor],
    features: torch.Tensor,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Class scores of features, shape (n, d), block by block: shape (n, c), on the CPU.

    Args:
        classify: Features to class scores, in evaluation mode.
        features: On any device; may be in a file.
        device: Where the head is; None: where the features are.
    """
    found = []
    with torch.no_grad():
        for rows in slices(*features.shape):
            found.append(classify(features[rows].to(device or features.device)).float().cpu())
            give_back(features)
    return torch.cat(found)


def train_head(
    classify: Callable[[torch.Tensor], torch.Tensor],
    parameters: list[nn.Parameter],
    features: torch.Tensor,
    learned: torch.Tensor,
    *,
    link: Link,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    label_smoothing: float,
    class_weights: torch.Tensor | None,
    seed: int,
    check_time: Callable[[], None],
) -> Iterator[float]:
    """Trains with AdamW and yields the mean loss of each epoch.

    Args:
        classify: Features, shape (n, d), to class scores.
        parameters: Those of the head.
        features: Shape (n, d); may be in a file.
        learned: Of :meth:`.link.Link.learned`.
        link: Of the target.
        epochs: How often all samples are seen.
        batch_size: Samples in a step.
        lr: Learning rate at its highest.
        weight_decay: Of AdamW.
        label_smoothing: Of the loss.
        class_weights: Shape (c,), or None.
        seed: Of the order of the samples.
        check_time: Called after each step; may raise.

    Raises:
        DivergedError: The loss is not finite.
    """
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed)
    per_epoch = math.ceil(len(features) / batch_size)
    steps = epochs * per_epoch
    step = 0
    for _ in range(epochs):
        permutation = torch.randperm(len(features), generator=order).to(features.device)
        losses = torch.zeros((), device=features.device)
        for chosen in torch.split(permutation, batch_size):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(step, steps)
            loss = link.loss(
                classify(batch_of(features, chosen)),
                learned[chosen],
                class_weights=class_weights,
                label_smoothing=label_smoothing,
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses += loss.detach() * len(chosen)
            step += 1
            check_time()
        mean = float(losses) / len(features)
        if not math.isfinite(mean):
            raise diverged(mean, lr)
        yield mean


def diverged(loss: float, lr: float) -> DivergedError:
    """The error of a training whose loss is not finite."""
    return DivergedError(
        f"The head's training loss must be finite, but is {loss} at lr {lr:g}. A smaller learning "
        "rate may help."
    )
