"""Pooled outputs of a network's stages, behind its features, for heads of a frozen backbone.

What a network was pretrained for shapes its last features; of a task that asks for something else
(texture, a handful of pixels) more is left in front of them. A linear head on the outputs of all
layers, each averaged over its places, gets much of what a fine-tune would, from the same single
pass (Evci et al. 2022, Head2Toe, ICML, section 3; there the groups are also selected, here the
ridge penalty has to do).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automl_transfer.contracts import Backbone, Batch, Stage
from automl_transfer.jsonable import digest, to_json
from automl_transfer.training.boundary import MIXED_TOLERANCE, TOLERANCE, units
from automl_transfer.training.device import autocast

TRIED = 4
"""Samples on which it is found out what can be pooled."""
WIDEST = 4096
"""Numbers of all stages together; of a network with more, fewer stages at even distances."""


@dataclass(frozen=True, kw_only=True)
class StageOutput:
    """A module whose output is pooled."""

    path: str
    """Of the module in the network."""
    axis: int
    """Of the output's features; what is neither that nor the sample is averaged over."""
    width: int


@dataclass(frozen=True, kw_only=True)
class StageOutputs:
    """What is read of a backbone beside its features."""

    width: int
    """Of the features themselves."""
    outputs: tuple[StageOutput, ...]
    """From input to output."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the groups that belong together: the features, then each stage."""
        return (self.width, *(output.width for output in self.outputs))

    @property
    def pooling(self) -> str:
        """Names what is read, for the key of what is kept of it."""
        return f"stages-{digest(to_json(self), 16)}"


class WithStageOutputs:
    """A backbone whose features go on with the pooled outputs of its stages."""

    def __init__(self, backbone: Backbone, read: StageOutputs) -> None:
        self.backbone = backbone
        self.read = read

    @property
    def module(self) -> nn.Module:
        """That of the backbone."""
        return self.backbone.module

    @property
    def stages(self) -> Sequence[Stage]:
        """Those of the backbone."""
        return self.backbone.stages

    def features(self, batch: Batch) -> torch.Tensor:
        """Features, and behind them what is pooled, shape (n, d + the sum of the widths)."""
        found: dict[str, torch.Tensor] = {}

        def noting(output: StageOutput) -> Callable[[nn.Module, Any, Any], None]:
            def note(module: nn.Module, arguments: Any, value: Any) -> None:
                found[output.path] = pooled(value, output.axis)

            return note

        with contextlib.ExitStack() as hooks:
            for output in self.read.outputs:
                module = self.module.get_submodule(output.path)
                hooks.callback(module.register_forward_hook(noting(output)).remove)
            own = self.backbone.features(batch)
        pieces = [found[output.path].to(own) for output in self.read.outputs]
        return torch.cat([own, *pieces], dim=1)


def pooled(output: torch.Tensor, axis: int) -> torch.Tensor:
    """The mean over all axes but the first, of the samples, and ``axis``: shape (n, width)."""
    places = [place for place in range(1, output.ndim) if place != axis]
    return output.mean(dim=places) if places else output


def stage_outputs(
    backbone: Backbone, stages: Sequence[Stage], batch: Batch, device: torch.device
) -> StageOutputs | None:
    """The outputs of stages that say something of a sample beside the features.

    Of each stage, what its last module returns, or if that is not to be had, its largest; modules
    are those of :func:`.boundary.units`. Left out is what cannot be pooled, what depends on which
    samples are in a batch, and what is there already: many networks do nothing after their last
    stage but average.

    Args:
        backbone: On ``device``; it is left in eval mode.
        stages: Of the network, from input to output.
        batch: Encoded samples, two at least, on ``device``. Of samples of different lengths,
            batches that are dictionaries, places that are filled up would be averaged over with
            the others: nothing is found.
        device: Where they are.

    Returns:
        Together no wider than :data:`WIDEST`; None where there are none.
    """
    if not isinstance(batch, torch.Tensor) or len(batch) < 2:
        return None
    backbone.module.eval()
    few = batch[: len(batch) // 2].clone()
    own, calls = _calls(backbone, stages, batch, device)
    _, fewer = _calls(backbone, stages, few, device)
    tolerance = TOLERANCE if device.type == "cpu" else MIXED_TOLERANCE
    found: list[StageOutput] = []
    known = [own]
    for stage in stages:
        for path in _modules(backbone.module, stage, calls):
            output = _pooled_alike(path, calls[path], fewer.get(path, []), tolerance)
            if output is None:
                continue
            values = pooled(calls[path][0], output.axis)
            if not any(_alike(values, one, tolerance) for one in known):
                known.append(values)
                found.append(output)
                break
    chosen = _narrowed(found)
    return StageOutputs(width=own.shape[1], outputs=chosen) if chosen else None


def _modules(module: nn.Module, stage: Stage, calls: Mapping[str, list[Any]]) -> list[str]:
    """Those of a stage that were called: the last one, and the largest of the others."""
    held = [path for path in calls if any(name.startswith(f"{path}.") for name in stage.tensors)]
    if len(held) < 2:
        return held
    *others, last = held

    def size(path: str) -> int:
        return sum(tensor.numel() for tensor in module.get_submodule(path).parameters())

    return [last, max(others, key=size)]


def _pooled_alike(
    path: str, outputs: Sequence[Any], fewer: Sequence[Any], tolerance: float
) -> StageOutput | None:
    """A module that is called once, and says the same of a sample in another batch.

    Args:
        path: Of the module.
        outputs: Of its calls with a batch.
        fewer: With the first samples of that batch alone.
        tolerance: Largest difference, in units of the largest value.
    """
    if len(outputs) != 1 or len(fewer) != 1:
        return None
    axis = _axis(outputs[0])
    if axis is None or _axis(fewer[0]) != axis:
        return None
    values, others = pooled(outputs[0], axis), pooled(fewer[0], axis)
    count = len(others)
    if count >= len(values) or not values.isfinite().all():
        return None
    if not _alike(values[:count], others, tolerance):
        return None
    return StageOutput(path=path, axis=axis, width=values.shape[1])


def _calls(
    backbone: Backbone, stages: Sequence[Stage], batch: Batch, device: torch.device
) -> tuple[torch.Tensor, dict[str, list[Any]]]:
    """Features of a batch, and what each module returned in each of its calls, in their order."""
    calls: dict[str, list[Any]] = {}

    def noting(path: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, arguments, output: calls.setdefault(path, []).append(output)

    with contextlib.ExitStack() as hooks:
        for path in units(backbone.module, stages):
            module = backbone.module.get_submodule(path)
            hooks.callback(module.register_forward_hook(noting(path)).remove)
        with torch.no_grad(), autocast(device):
            own = backbone.features(batch)
    return own.float(), calls


def _axis(output: Any) -> int | None:
    """The axis of an output's features, or None where it cannot be told.

    Maps are (n, d, h, w), or (n, h, w, d) as in Swin; of square ones the equal axes are places.
    Sequences are (n, t, d).
    """
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return None
    if output.ndim not in (2, 3, 4):
        return None
    if output.ndim < 4:
        return output.ndim - 1
    first, second, third = output.shape[1:]
    if second == third:
        return 1
    return 3 if first == second else None


def _alike(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    one, other = one.float(), other.float()
    return bool((one - other).abs().max() <= tolerance * other.abs().max())


def _narrowed(found: Sequence[StageOutput]) -> tuple[StageOutput, ...]:
    """As many at even distances, the last among them, as are together not too wide."""
    for count in range(len(found), 0, -1):
        chosen = [found[len(found) - 1 - place * len(found) // count] for place in range(count)]
        if sum(output.width for output in chosen) <= WIDEST:
            return tuple(reversed(chosen))
    return ()
