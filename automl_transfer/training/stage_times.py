"""Where in a network a forward pass spends its time: what a step from a boundary costs."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from automl_transfer.contracts import Backbone, Batch, Stage
from automl_transfer.training.boundary import units
from automl_transfer.training.device import autocast, to_device

SAMPLES = 8
"""Of the batch that is timed."""
_PASSES = 3
"""The quickest counts, which the first, that warms up, hardly is."""


def stage_seconds(
    backbone: Backbone,
    stages: Sequence[Stage],
    batch: Batch,
    samples: int,
    device: torch.device,
    clock: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Seconds of a sample's forward pass that each stage takes, by its name.

    The number of a network's stages, or of their parameters, says little of that: the last of
    eight may take a fiftieth or a third of the time.

    Args:
        backbone: On ``device``; it is left in eval mode.
        stages: Of the network, from input to output.
        batch: Encoded samples.
        samples: How many.
        device: Where the network is.
        clock: Tells seconds; None: that of the system.

    Returns:
        Empty where no module belongs to a stage.
    """
    backbone.module.eval()
    owner = {name: stage.name for stage in stages for name in stage.tensors}
    marks: list[tuple[float, str]] = []

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (clock or time.perf_counter)()

    def noting(stage: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, arguments: marks.append((now(), stage))

    best = (math.inf, dict[str, float]())
    moved = to_device(batch, device)
    with contextlib.ExitStack() as stack:
        for path in units(backbone.module, stages):
            module = backbone.module.get_submodule(path)
            held = next(name for name in owner if name.startswith(f"{path}."))
            stack.callback(module.register_forward_pre_hook(noting(owner[held])).remove)
        for _ in range(_PASSES):
            marks.clear()
            begun = now()
            with torch.inference_mode(), autocast(device):
                backbone.features(moved)
            moments = [begun, *(moment for moment, _ in marks[1:]), now()]
            if marks and moments[-1] - begun < best[0]:
                found = dict.fromkeys((stage.name for stage in stages), 0.0)
                for (_, stage), (start, stop) in zip(marks, pairwise(moments), strict=True):
                    found[stage] += (stop - start) / samples
                best = (moments[-1] - begun, found)
    return best[1]
