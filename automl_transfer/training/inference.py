"""Forward passes without gradients, over any number of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Batch
from automl_transfer.training.batch_sizes import BatchSizes
from automl_transfer.training.device import autocast
from automl_transfer.training.model import TransferModel
from automl_transfer.training.passes import passes
from automl_transfer.training.rows import RowStore

BATCH = 64
CPU_BATCH = 16


def predict(
    model: TransferModel,
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
    check: Callable[[], object] = lambda: None,
) -> NDArray[np.float32]:
    """Predictions of the plain view, shape (n, c). Puts the model into eval mode.

    Args:
        model: Predicts.
        rows: The samples.
        positions: Which of them, shape (n,).
        device: Where the model is.
        check: Called after each batch; may raise.
    """
    model.eval()
    found = []
    for values in _passes(lambda batch: model.predictions(batch), rows, positions, device):
        found.append(values)
        check()
    return np.concatenate(found) if found else np.zeros((0, 0), dtype=np.float32)


def pooled(
    features: Callable[[Batch], torch.Tensor],
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
    check: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Pooled features of the plain view, shape (n, d).

    Args:
        features: Batch to features; the network is in eval mode.
        rows: The samples.
        positions: Which of them, shape (n,), at least one.
        device: Where the network is.
        check: Called after each batch; may raise.
    """
    found = []
    for values in _passes(features, rows, positions, device):
        found.append(values)
        check()
    return np.concatenate(found)


def _passes(
    forward: Callable[[Batch], torch.Tensor],
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
) -> Iterator[NDArray[np.float32]]:
    def run(batch: Batch) -> torch.Tensor:
        # Not inference_mode: layers that keep something in eval mode (LeViT its attention biases)
        # would keep a tensor that no later training may touch.
        with torch.no_grad(), autocast(device):
            return forward(batch).float()

    size = CPU_BATCH if device.type == "cpu" else BATCH
    for _, values in passes(run, rows, positions, device, BatchSizes(device, fixed=size)):
        yield values
