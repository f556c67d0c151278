"""Pooled outputs of a network's stages, behind its features, for heads of a frozen backbone.

What a network was pretrained for shapes its last features; of a task that asks for something else
(texture, a handful of pixels) more is left in front of them. A linear head on the outputs of all
layers, each averaged over its places, gets much of what a fine-tune would, from the same single
pass (Evci et al. 2022, Head2Toe, ICML, section 3; there the groups are also selected, here the
ridge penalty has to do).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automl_transfer.contracts import Backbone, Batch, Stage
from automl_transfer.jsonable import digest, from_json, to_json
from automl_transfer.training.boundary import units

TRIED = 4
"""Samples on which it is found out what can be pooled."""
SAME = 1e-3
"""Differences up to this share of the spread between samples are those of rounding."""
SPREAD = 1e-5
"""Of the largest value, between samples: less is no spread."""
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

    @classmethod
    def stored(cls, document: Any) -> StageOutputs | None:
        """From JSON; None from none."""
        return None if document is None else from_json(cls, document)

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
        axes = {output.path: output.axis for output in self.read.outputs}
        found: dict[str, torch.Tensor] = {}

        def note(path: str, module: nn.Module, value: Any) -> None:
            found[path] = pooled(value, axes[path])

        with _outputs_told(self.module, list(axes), note):
            own = self.backbone.features(batch)
        return torch.cat([own, *(found[path].to(own) for path in axes)], dim=1)


def reading(backbone: Backbone, read: StageOutputs | None) -> Backbone:
    """A backbone whose features go on with ``read``, if there is something."""
    return backbone if read is None else WithStageOutputs(backbone, read)


def what_is_read(backbone: Backbone) -> StageOutputs | None:
    """What is read of a backbone beside its features; None: nothing."""
    return backbone.read if isinstance(backbone, WithStageOutputs) else None


@contextlib.contextmanager
def _outputs_told(
    module: nn.Module, paths: Sequence[str], tell: Callable[[str, nn.Module, Any], None]
) -> Iterator[None]:
    """Within, ``tell`` is given what modules return in passes of this thread; of a tuple the
    first, what is beside it being for those who ask for more."""
    thread = threading.get_ident()

    def telling(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            # Another thread may be in a pass of its own through the same modules.
            if threading.get_ident() == thread:
                several = isinstance(output, (tuple, list)) and output
                tell(path, module, output[0] if several else output)

        return hook

    with contextlib.ExitStack() as hooks:
        for path in paths:
            hook = module.get_submodule(path).register_forward_hook(telling(path))
            hooks.callback(hook.remove)
        yield


def pooled(output: torch.Tensor, axis: int) -> torch.Tensor:
    """A copy, the mean over all axes but the first, of the samples, and ``axis``: (n, width)."""
    places = [place for place in range(1, output.ndim) if place != axis]
    return output.mean(dim=places) if places else output.clone()


def stage_outputs(
    backbone: Backbone, stages: Sequence[Stage], batch: Batch, fewer: Batch
) -> StageOutputs | None:
    """The outputs of stages that say something of a sample beside the features.

    Of each stage, what its last module returns, or if that is not to be had, its largest; modules
    are those of :func:`.boundary.units`. Left out is what cannot be told to be maps or sequences
    of so many features, what depends on which samples are in a batch, what is the same for all
    samples, and what is there already: many networks do nothing after their last stage but
    average. The same on every device: it is looked at on the CPU, in float32.

    Args:
        backbone: It is left on the CPU, in eval mode.
        stages: Of the network, from input to output.
        batch: Encoded samples. Of samples of different lengths, batches that are dictionaries,
            places that are filled up would be averaged over with the others: nothing is found.
        fewer: The first of them, two at least, encoded by themselves.

    Returns:
        Together no wider than :data:`WIDEST`; None where there are none.
    """
    if not isinstance(batch, torch.Tensor) or not isinstance(fewer, torch.Tensor):
        return None
    if not 2 <= len(fewer) < len(batch):
        return None
    backbone.module.to("cpu").eval()
    own, calls = _calls(backbone, stages, batch)
    _, others = _calls(backbone, stages, fewer)
    found: list[StageOutput] = []
    known = [own]
    for stage in stages:
        for path in _modules(backbone.module, stage, calls):
            seen = calls[path]
            # One call in each pass, with the same axis.
            if len(seen) != 1 or len(others.get(path, ())) != 1:
                continue
            (axis, values), (other_axis, again) = seen[0], others[path][0]
            if axis is None or axis != other_axis or not _says_something(values):
                continue
            if not _alike(again, values[: len(again)], values):
                continue
            if any(_alike(values, one, one) for one in known):
                continue
            known.append(values)
            found.append(StageOutput(path=path, axis=axis, width=values.shape[1]))
            break
    chosen = _narrowed(found)
    return StageOutputs(width=own.shape[1], outputs=chosen) if chosen else None


_Call = tuple[int | None, torch.Tensor]
"""The axis of an output's features, and what is pooled of it."""


def _calls(
    backbone: Backbone, stages: Sequence[Stage], batch: torch.Tensor
) -> tuple[torch.Tensor, dict[str, list[_Call]]]:
    """Features of a batch, and what each module returned in each of its calls, in their order."""
    calls: dict[str, list[_Call]] = {}

    def note(path: str, module: nn.Module, value: Any) -> None:
        # Pooled at once: what follows may write into the output.
        axis = _axis(module, value, len(batch))
        made = torch.empty(0) if axis is None else pooled(value, axis)
        calls.setdefault(path, []).append((axis, made))

    paths = units(backbone.module, stages)
    with _outputs_told(backbone.module, paths, note), torch.no_grad():
        own = backbone.features(batch)
    return own, calls


def _modules(module: nn.Module, stage: Stage, calls: Mapping[str, list[_Call]]) -> list[str]:
    """Those of a stage that were called: the last one, and the largest of the others."""
    held = [path for path in calls if any(name.startswith(f"{path}.") for name in stage.tensors)]
    if len(held) < 2:
        return held
    *others, last = held

    def size(path: str) -> int:
        return sum(tensor.numel() for tensor in module.get_submodule(path).parameters())

    return [last, max(others, key=size)]


def _axis(module: nn.Module, output: Any, count: int) -> int | None:
    """The axis of an output's features, or None where it cannot be told.

    It is as long as the last layer of the module has outputs, and comes first or last: maps are
    (n, d, h, w) or, as in Swin, (n, h, w, d), sequences (n, t, d) or (n, d, t). Of square maps
    that are put together of several layers' outputs, the equal axes are places.
    """
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return None
    if output.ndim not in (2, 3, 4) or len(output) != count:
        return None
    if output.ndim == 2:
        return 1
    width = _outputs(module)
    axes = [axis for axis in (1, output.ndim - 1) if output.shape[axis] == width]
    if not axes and output.ndim == 4:
        first, second, third = output.shape[1:]
        axes = [1] * (second == third) + [3] * (first == second)
    return axes[0] if len(axes) == 1 else None


def _outputs(module: nn.Module) -> int | None:
    """Outputs of the last layer of a module that has parameters."""
    for layer in reversed(list(module.modules())):
        own = next(layer.parameters(recurse=False), None)
        if own is not None and own.ndim:
            return len(own)
    return None


def _says_something(values: torch.Tensor) -> bool:
    """Whether pooled values, shape (n, width), are finite and differ between samples."""
    if not values.numel() or not values.isfinite().all():
        return False
    return bool(_spread(values) > SPREAD * values.abs().max())


def _spread(values: torch.Tensor) -> torch.Tensor:
    return (values - values.mean(dim=0)).abs().max()


def _alike(one: torch.Tensor, other: torch.Tensor, spread_of: torch.Tensor) -> bool:
    """Whether two are the same but for rounding, in units of the spread of a third."""
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= SAME * _spread(spread_of))


def _narrowed(found: Sequence[StageOutput]) -> tuple[StageOutput, ...]:
    """As many at even distances, the last among them, as are together not too wide."""
    fit = [output for output in found if output.width <= WIDEST]
    for count in range(len(fit), 0, -1):
        chosen = [fit[len(fit) - 1 - place * len(fit) // count] for place in range(count)]
        if sum(output.width for output in chosen) <= WIDEST:
            return tuple(reversed(chosen))
    return ()
