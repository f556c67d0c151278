"""Keeps what crosses a freeze boundary while frozen features are computed: one pass for both.

The features of a backbone and the activations from which its last stages will be trained come
from the same forward pass; computed apart, the frozen part would see each sample twice.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Backbone, Stage
from automl_transfer.plan import FreezePlan
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.activations import Activations
from automl_transfer.training.boundary import Boundary, Uncut, find_boundary, units
from automl_transfer.training.device import to_device
from automl_transfer.training.freeze import AppliedPhase
from automl_transfer.training.rows import RowStore

LIMIT_BYTES = 1 << 30
"""Of all samples together; more is computed when it is known to be needed."""
TRIED = 5
"""Samples on which the boundary is tried, as when it is trained."""


class Tap:
    """Takes the values of each batch off the network, and keeps them by the ids of the samples."""

    def __init__(self, boundary: Boundary, kept: Activations) -> None:
        self._boundary = boundary
        self._kept = kept
        self._caught: deque[tuple[torch.Tensor, ...]] = deque()
        self._open = True

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within, every pass through the network is noted."""
        with self._boundary.watched(self._caught.append):
            yield

    def take(self, ids: Sequence[str]) -> None:
        """Keeps what was noted of a batch, batches in the order in which they went through.

        A batch that did not come to its end (memory ran out) spoils the order: from then on
        nothing is kept.
        """
        if not self._open:
            return
        values = self._caught.popleft() if self._caught else ()
        if not values or len(values[0]) != len(ids):
            self._open = False
            self._caught.clear()
            return
        self._kept.keep_plain(ids, values)

    def flush(self) -> None:
        """Writes what is noted to disk."""
        self._kept.flush()


def tap_for(
    *,
    backbone: Backbone,
    stages: Sequence[Stage],
    plan: FreezePlan,
    rows: RowStore,
    positions: NDArray[np.int64],
    store: ActivationStore,
    device: torch.device,
) -> Tap | None:
    """A tap where a plan's frozen part ends, or None where there is nothing to be kept.

    Args:
        backbone: With its pretrained weights; it is left in eval mode.
        stages: Of the backbone.
        plan: Of a strategy that freezes the beginning of the network.
        rows: The samples.
        positions: Those whose features will be computed, shape (n,).
        store: Of the backbone.
        device: Where to compute.
    """
    phase = next((phase for phase in plan.phases if phase.trains), None)
    if phase is None or phase.adapter is not None or plan.start != "pretrained":
        return None
    if store.cache is None or len(positions) < 2:
        return None
    module = backbone.module.to(device)
    if device.type in ("cuda", "cpu"):
        module.to(memory_format=torch.channels_last)
    batch = to_device(rows.encoder.batch(rows.rows(positions[:TRIED])), device)
    applied = AppliedPhase(module, stages, phase)
    gradients = {name: tensor.requires_grad for name, tensor in module.named_parameters()}
    try:
        found = find_boundary(
            backbone, stages, units(module, stages), applied.switch, batch, device
        )
    finally:
        for name, tensor in module.named_parameters():
            tensor.requires_grad_(gradients[name])
        module.eval()
    if isinstance(found, Uncut):
        return None
    kept = store.of_plain_view(boundary=found, rows=rows, positions=positions, device=device)
    return Tap(found, kept) if kept.bytes <= min(LIMIT_BYTES, store.limit_bytes) else None
