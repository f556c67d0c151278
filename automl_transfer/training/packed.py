"""Many heads on the same frozen features, trained together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.target import Targets
from automl_transfer.training.head_runs import HeadReport, HeadResult, HeadRun
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import readable
from automl_transfer.training.pack import Recipe
from automl_transfer.training.run import OutOfTimeError
from automl_transfer.training.teams import Teams

__all__ = ["HeadReport", "HeadResult", "HeadRun", "train_heads"]

Features = NDArray[np.float32] | torch.Tensor

RESIDENT = 0.25
"""Of a device's free memory, that features may take to be kept there."""


def train_heads(
    *,
    runs: Sequence[HeadRun],
    features: Features,
    targets: Targets | torch.Tensor,
    evaluate_features: Features,
    link: Link,
    epochs: int = 30,
    batch_size: int = 256,
    seed: int,
    reports: int = 10,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    end_settled: bool = True,
) -> Generator[list[HeadReport], Collection[int] | None, list[HeadResult]]:
    """Trains all heads at once, on the same batches, each as if it were alone.

    Heads of one structure are stacked, so that a step has one matrix product for all of them. A
    head without dropout ends as :func:`automl_transfer.training.head.train_head` with the same
    seed trains it, up to rounding, whichever others there are and whenever they end.

    Yields the reports of all runs that go on, and takes back the places of those to stop. The
    last epoch's values are a run's result, never those of the best. A run whose training loss and
    predictions have both stopped changing ends with them.

    Args:
        runs: The heads.
        features: Shape (n, d), centred and scaled; may be memory-mapped. Kept on the device where
            they fit, else moved batch by batch.
        targets: Of the samples, in the form of their kind.
        evaluate_features: To report on, shape (m, d).
        link: From scores to predictions, of the same kind.
        epochs: How often all samples are seen.
        batch_size: Samples in a step.
        seed: Of the order of the samples, and of dropout.
        reports: Of a run, at the most.
        device: Where to train.
        should_stop: Looked at after each step; what has not ended then, ends with an
            ``OutOfTimeError``.
        end_settled: End runs that no longer change.

    Returns:
        A result for each run, in the order of ``runs``. What goes wrong in one run (a loss that is
        not finite, a head that fails, too little memory for it alone) is its ``error``.
    """

    def check_time() -> None:
        if should_stop():
            raise OutOfTimeError("The budget ended.")

    recipe = Recipe(
        features=_placed(features, device),
        learned=link.learned(torch.as_tensor(targets)).to(device),
        evaluate=_placed(evaluate_features, device),
        link=link,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        device=device,
        check_time=check_time,
    )
    teams = Teams(runs, recipe)
    every = -(-epochs // max(1, reports))
    for until in [*range(every, epochs, every), epochs]:
        reported = teams.advance(until)
        if not reported:
            break
        stop = (yield reported) or ()
        teams.end(stop, until, end_settled)
    return [teams.results[index] for index in range(len(runs))]


def _placed(features: Features, device: torch.device) -> torch.Tensor:
    """On the device where they fit, else where they are."""
    found = features if isinstance(features, torch.Tensor) else readable(features)
    if device.type != "cuda" or found.device == device:
        return found if device.type in ("cpu", "cuda") else found.to(device)
    free, _ = torch.cuda.mem_get_info(device)
    return found.to(device) if found.nbytes <= RESIDENT * free else found
