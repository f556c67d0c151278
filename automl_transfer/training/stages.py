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
"""A leading or trailing piece with less than this share of the parameters joins its neighbour."""


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
        raise PluginError(f"The stages of {id!r} name tensors that it has not: {unknown[:5]}.")


def derive_stages(module: nn.Module) -> tuple[Stage, ...]:
    """Stages from the module tree: children in order, long containers taken apart.

    Parameters held by the root itself (``cls_token``, ``pos_embed``) belong to the first stage.
    Small pieces at either end (a stem's norm, the final norm) join their neighbours.
    """
    root = [name for name in tensor_names(module) if "." not in name]
    pieces = [
        (name, tuple(f"{name}.{tensor}" for tensor in tensor_names(child)))
        for name, child in _pieces(module)
    ]
    pieces = [piece for piece in pieces if piece[1]]
    loose = set(tensor_names(module)) - {name for _, held in pieces for name in held}
    if not pieces:
        return (Stage(name="all", tensors=tuple(tensor_names(module))),) if loose else ()
    sizes = dict(_sizes(module))
    total = sum(sizes.values()) or 1
    merged: list[tuple[str, tuple[str, ...]]] = [(pieces[0][0], (*root, *pieces[0][1]))]
    for name, held in pieces[1:]:
        share = sum(sizes.get(tensor, 0) for tensor in held) / total
        before = sum(sizes.get(tensor, 0) for tensor in merged[-1][1]) / total
        if share < _TINY and len(merged) > 1 or before < _TINY:
            merged[-1] = (merged[-1][0] if before >= _TINY else name, (*merged[-1][1], *held))
        else:
            merged.append((name, held))
    deep = sorted(loose - set(root))
    merged[0] = (merged[0][0], (*merged[0][1], *deep))
    return tuple(Stage(name=name, tensors=held) for name, held in merged)


def _pieces(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    children = list(module.named_children())
    for name, child in children:
        full = f"{prefix}{name}"
        inner = [grandchild for _, grandchild in child.named_children()]
        is_list = isinstance(child, (nn.Sequential, nn.ModuleList)) and len(inner) > 1
        has_own = any(True for _ in child.named_parameters(recurse=False)) or any(
            True for _ in child.named_buffers(recurse=False)
        )
        wraps = len(children) == 1 and not has_own and inner
        encoder = not has_own and any(isinstance(item, nn.ModuleList) for item in inner)
        if is_list or wraps or encoder:
            yield from _pieces(child, f"{full}.")
        else:
            yield full, child


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
