"""Stages: a partition of a network's parameters and buffers, from input to output."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from torch import nn

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, Stage
from automl_transfer.errors import PluginError
from automl_transfer.plan import StageView

_TINY = 0.005
"""A piece with less than this share of the parameters joins its neighbour."""


def tensor_names(module: nn.Module) -> list[str]:
    """Names of all parameters and buffers, in order of registration; shared ones each name."""
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    return names + [name for name, _ in module.named_buffers(remove_duplicate=False)]


def stages_of(backbone: Backbone, card: BackboneCard) -> tuple[Stage, ...]:
    """The stages that the card declares, or the backbone names, or else derived ones.

    Raises:
        PluginError: A parameter or buffer is in no stage, or in two.
    """
    names = tensor_names(backbone.module)
    if card.stages:
        patterns = [[re.compile(text) for text in stage.tensors] for stage in card.stages]
        stages = tuple(
            Stage(
                name=stage.name,
                tensors=tuple(name for name in names if any(p.match(name) for p in compiled)),
            )
            for stage, compiled in zip(card.stages, patterns, strict=True)
        )
    elif backbone.stages:
        stages = tuple(backbone.stages)
    else:
        return derive_stages(backbone.module)
    _check_partition(card.id, names, stages)
    return stages


def _check_partition(id: str, names: Sequence[str], stages: Sequence[Stage]) -> None:
    held = [name for stage in stages for name in stage.tensors]
    missing = sorted(set(names) - set(held))
    twice = (
        sorted({name for name in held if held.count(name) > 1})
        if len(held) > len(set(held))
        else []
    )
    unknown = sorted(set(held) - set(names))
    for what, wrong in (("no stage", missing), ("two stages", twice)):
        if wrong:
            raise PluginError(
                f"Each parameter and buffer of {id!r} must be in exactly one stage, but in {what} "
                f"are: {', '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}."
            )
    if unknown:
        raise PluginError(
            f"The stages of {id!r} must name its own parameters and buffers, but also name "
            f"{', '.join(unknown[:5])}."
        )
    empty = [stage.name for stage in stages if not stage.tensors]
    labels = [stage.name for stage in stages]
    if empty or len(set(labels)) < len(labels):
        raise PluginError(
            f"The stages of {id!r} must have distinct names and hold a tensor each, but the names "
            f"are {', '.join(labels)} and without any tensor are: {', '.join(empty) or 'none'}."
        )


def derive_stages(module: nn.Module) -> tuple[Stage, ...]:
    """Stages from the module tree: children in order, containers of blocks taken apart.

    Tensors held by the root or by a container itself (``cls_token``, ``pos_embed``) belong to the
    first stage. Small pieces (a stem's norm, a final norm) join their neighbours.
    """
    names = tensor_names(module)
    sizes = dict(_sizes(module))
    total = sum(sizes.values())
    pieces = [
        (name, tuple(f"{name}.{tensor}" for tensor in tensor_names(child)))
        for name, child in _pieces(module, total)
    ]
    pieces = [piece for piece in pieces if piece[1]]
    if not pieces:
        return (Stage(name="all", tensors=tuple(names)),) if names else ()

    def share(held: tuple[str, ...]) -> float:
        return sum(sizes.get(name, 0) for name in held) / max(1, total)

    shapes = {name: tensor.dim() for name, tensor in module.named_parameters()}
    inside = {name for _, held in pieces for name in held}
    loose = tuple(name for name in names if name not in inside)
    merged = [(pieces[0][0], (*loose, *pieces[0][1]))]
    for name, held in pieces[1:]:
        last_name, last_held = merged[-1]
        last_small = share(last_held) < _TINY
        # Without a matrix it is a norm or a scale: nothing that could be a stage of its own.
        small = share(held) < _TINY or all(shapes.get(tensor, 0) < 2 for tensor in held)
        if last_small:
            merged[-1] = (name, (*last_held, *held))
        elif small and (len(merged) > 1 or (name, held) == pieces[-1]):
            merged[-1] = (last_name, (*last_held, *held))
        else:
            merged.append((name, held))
    return tuple(Stage(name=name, tensors=held) for name, held in merged)


def _pieces(module: nn.Module, total: int, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    children = list(module.named_children())
    for name, child in children:
        full = f"{prefix}{name}"
        wraps = len(children) == 1 and any(True for _ in child.children())
        if wraps or _is_list(child) or _is_body(child, total):
            yield from _pieces(child, total, f"{full}.")
        else:
            yield full, child


def _is_list(module: nn.Module) -> bool:
    """A container of blocks, and not one block written as a container of layers."""
    items = list(module.children())
    return (
        isinstance(module, (nn.Sequential, nn.ModuleList))
        and len(items) > 1
        and any(True for item in items for _ in item.children())
    )


def _is_body(module: nn.Module, total: int) -> bool:
    """Whether it holds the list of blocks that makes up most of the network."""
    return any(
        _is_list(child) and 2 * sum(p.numel() for p in child.parameters()) > total
        for child in module.children()
    )


def _sizes(module: nn.Module) -> Iterator[tuple[str, int]]:
    for name, tensor in module.named_parameters(remove_duplicate=False):
        yield name, tensor.numel()


def stage_views(module: nn.Module, stages: Sequence[Stage]) -> tuple[StageView, ...]:
    """The stages as strategies see them."""
    sizes = dict(_sizes(module))
    last = max(1, len(stages) - 1)
    return tuple(
        StageView(
            name=stage.name,
            depth=place / last if len(stages) > 1 else 1.0,
            parameters=sum(sizes.get(name, 0) for name in stage.tensors),
        )
        for place, stage in enumerate(stages)
    )
