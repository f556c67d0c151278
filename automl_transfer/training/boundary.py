"""Where the frozen part of a network ends, and what flows over that border.

In front of the first layer that trains, a pass through the network gives the same values in every
epoch. A :class:`Boundary` computes them (:meth:`Boundary.before`) and goes on from them
(:meth:`Boundary.after`), so that they can be kept. The network's own code runs in both: only the
calls of its frozen modules are answered by stand-ins, so nothing must be traceable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automl_transfer.contracts import Backbone, Batch, Stage
from automl_transfer.training.device import autocast
from automl_transfer.training.outputs import all_tensors, blank, filled, template_of, tensors_of
from automl_transfer.training.stages import tensor_names

TOLERANCE = 1e-5
"""Largest difference of features with and without the cut, in units of the largest feature."""
MIXED_TOLERANCE = 1e-2
"""The same in mixed precision, where the sizes of batches choose the kernels."""


@dataclass(frozen=True, kw_only=True)
class Uncut:
    """There is no boundary; whoever asked recomputes."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Boundary:
    """A network in two parts: what stays as it is, and what trains or comes after it."""

    backbone: Backbone
    path: str
    """Of the last frozen module, whose output crosses the border."""
    stages: tuple[str, ...]
    """Frozen stages of which a tensor takes part before the border."""
    shapes: tuple[tuple[int, ...], ...]
    """Of each value that crosses it, without the axis of the samples."""
    dtypes: tuple[torch.dtype, ...]
    channels_last: tuple[bool, ...]
    """Of each value: whether the second axis is the innermost in memory."""
    _cut: nn.Module
    _template: Any
    _stand_ins: tuple[tuple[nn.Module, Any], ...]
    _batch: Batch
    """One sample, for the network's code before the border to have something to run on."""

    @property
    def key(self) -> str:
        """Names the place; with the network's weights it decides the values."""
        return f"{self.path}({'+'.join(self.stages)})"

    @property
    def modules(self) -> list[nn.Module]:
        """Frozen modules before the border."""
        return [*(module for module, _ in self._stand_ins), self._cut]

    @property
    def numbers(self) -> int:
        """How many numbers of each sample cross the border."""
        return sum(torch.Size(shape).numel() for shape in self.shapes)

    def before(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """What crosses the border for an encoded batch: values of shape (n, ...)."""

        def catch(module: nn.Module, arguments: Any, output: Any) -> None:
            raise _CaughtError(output)

        handle = self._cut.register_forward_hook(catch)
        try:
            with torch.no_grad():
                self.backbone.features(batch)
        except _CaughtError as caught:
            return tuple(tensors_of(caught.output, self._template))
        finally:
            handle.remove()
        raise RuntimeError(f"A pass must go through {self.path!r}, but one did not.")

    @contextlib.contextmanager
    def watched(self, sink: Callable[[tuple[torch.Tensor, ...]], None]) -> Iterator[None]:
        """Within, ``sink`` is given what crosses the border in each whole pass."""

        def note(module: nn.Module, arguments: Any, output: Any) -> None:
            sink(tuple(tensors_of(output, self._template)))

        handle = self._cut.register_forward_hook(note)
        try:
            yield
        finally:
            handle.remove()

    def after(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features, shape (n, d), from what crossed the border; gradients flow."""
        answers = [*self._stand_ins, (self._cut, filled(self._template, iter(values)))]
        with contextlib.ExitStack() as stack:
            for module, answer in answers:
                stack.enter_context(_answering(module, answer))
            return self.backbone.features(self._batch)


def units(module: nn.Module, stages: Sequence[Stage]) -> tuple[str, ...]:
    """Paths of the outermost modules with tensors, all of them in one stage.

    Args:
        module: The network, as it was built: without adapters.
        stages: Of the network.
    """
    owner = {name: stage.name for stage in stages for name in stage.tensors}

    def walk(parent: nn.Module, prefix: str) -> Iterator[str]:
        for name, child in parent.named_children():
            path = f"{prefix}{name}"
            owners = {owner.get(f"{path}.{tensor}") for tensor in tensor_names(child)}
            called = not isinstance(child, (nn.ModuleList, nn.ModuleDict))
            if len(owners) == 1 and called:
                yield path
            elif owners:
                yield from walk(child, f"{path}.")

    return tuple(walk(module, ""))


def find_boundary(
    backbone: Backbone,
    stages: Sequence[Stage],
    paths: Sequence[str],
    switch: Callable[[], None],
    batch: Batch,
    device: torch.device,
) -> Boundary | Uncut:
    """Finds where the frozen part of a network ends, and checks on a batch that it can be cut.

    The border lies behind the last module that is called before anything trains or varies. Its
    output must depend on no tensor that trains (autograd knows), and the features must be the
    same with and without the cut, also for another number of samples.

    Args:
        backbone: On ``device``.
        stages: Of the network.
        paths: Of :func:`units`.
        switch: Sets gradients and modes for training.
        batch: Real and encoded, of two samples at least, on ``device``.
        device: Where they are.
    """
    switch()
    module = backbone.module
    count = _length(batch)
    named = dict(module.named_modules())
    with autocast(device):
        calls = _frozen_calls(backbone, [(path, named[path]) for path in paths], batch)
    if isinstance(calls, Uncut):
        return calls
    path, cut, output = calls[-1]
    template = template_of(output, count)
    crossing = list(tensors_of(output, template))
    if not crossing:
        return Uncut(reason=f"{path!r} does not return values of each sample")
    seen = [called for _, called, _ in calls]
    if seen.count(cut) > 1:
        return Uncut(reason=f"{path!r} is called more than once")
    found = Boundary(
        backbone=backbone,
        path=path,
        stages=_stages_of(stages, [called for called, _, _ in calls]),
        shapes=tuple(tuple(value.shape[1:]) for value in crossing),
        dtypes=tuple(value.dtype for value in crossing),
        channels_last=tuple(_is_channels_last(value) for value in crossing),
        _cut=cut,
        _template=template,
        _stand_ins=tuple(
            (called, blank(template_of(answer, count), answer)) for _, called, answer in calls[:-1]
        ),
        _batch=_rows(batch, 1),
    )
    module.eval()
    try:
        return _checked(found, batch, device)
    finally:
        switch()


def _checked(found: Boundary, batch: Batch, device: torch.device) -> Boundary | Uncut:
    tolerance = TOLERANCE if device.type == "cpu" else MIXED_TOLERANCE
    for count in (_length(batch), _length(batch) // 2):
        part = _rows(batch, count)
        with torch.no_grad(), autocast(device):
            expected = found.backbone.features(part).float()
            values = found.before(part)
            try:
                got = found.after(values).float()
            except Exception as error:  # any code of a network may run here
                return Uncut(reason=f"the network does not run from {found.path!r}: {error!r}")
        if any(len(value) != count for value in values):
            return Uncut(reason=f"{found.path!r} does not return values of each sample")
        if got.shape != expected.shape:
            return Uncut(reason=f"more than the output of {found.path!r} crosses the border")
        if (got - expected).abs().max() > tolerance * expected.abs().max():
            return Uncut(reason=f"more than the output of {found.path!r} crosses the border")
    return found


def _frozen_calls(
    backbone: Backbone, modules: Sequence[tuple[str, nn.Module]], batch: Batch
) -> list[tuple[str, nn.Module, Any]] | Uncut:
    """Calls with their outputs, in order, up to the first that trains or varies."""
    calls: list[tuple[str, nn.Module, Any]] = []
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        def entered(module: nn.Module, arguments: Any) -> None:
            if _moves(module):
                raise _ReachedError

        def left(module: nn.Module, arguments: Any, output: Any) -> None:
            if any(tensor.requires_grad for tensor in all_tensors(output)):
                raise _ReachedError
            calls.append((path, module, output))

        handles.append(module.register_forward_pre_hook(entered))
        handles.append(module.register_forward_hook(left))

    for path, module in modules:
        watch(path, module)
    try:
        # With gradients: they tell what depends on a tensor that trains.
        with torch.enable_grad():
            backbone.features(batch)
    except _ReachedError:
        pass
    else:
        return Uncut(reason="nothing that trains is a module of its own")
    finally:
        for handle in handles:
            handle.remove()
    return calls or Uncut(reason="the network trains from its first layer on")


def _moves(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters()) or any(
        child.training for child in module.modules()
    )


def _stages_of(stages: Sequence[Stage], paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        stage.name
        for stage in stages
        if any(name.startswith(f"{path}.") for path in paths for name in stage.tensors)
    )


class _ReachedError(Exception):
    """The first call that trains."""


class _CaughtError(Exception):
    """Carries an output out of the middle of a network."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


@contextlib.contextmanager
def _answering(module: nn.Module, answer: Any) -> Iterator[None]:
    """Within, a call of ``module`` computes nothing and returns ``answer``."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = lambda *arguments, **options: answer
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def _is_channels_last(value: torch.Tensor) -> bool:
    return (
        value.dim() == 4
        and not value.is_contiguous()
        and value.is_contiguous(memory_format=torch.channels_last)
    )


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values()))) if isinstance(batch, dict) else len(batch)


def _rows(batch: Batch, count: int) -> Batch:
    if isinstance(batch, dict):
        return {key: _rows(value, count) for key, value in batch.items()}
    return batch[:count].clone()
