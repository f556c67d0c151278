"""Stages of timm's networks, from the groups that timm itself names for layer-wise decay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_transfer.contracts import Stage

if TYPE_CHECKING:
    from torch import nn


def stages(module: nn.Module) -> tuple[Stage, ...]:
    """Stages from input to output, or none where timm's groups are not to be relied on.

    ``group_matcher`` is missing, or raises, in some architectures. What no group claims counts as
    the end of the network if it also comes last by name, and joins the stage before it unless it
    holds a matrix (a final norm is no stage of its own). Otherwise the answer is empty.
    """
    matcher = getattr(module, "group_matcher", None)
    if matcher is None:
        return ()
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    parameters = [name for name, _ in module.named_parameters()]
    try:
        # Not a public name of timm; its public sibling groups parameters and leaves out buffers.
        from timm.models._manipulate import group_with_matcher

        groups = group_with_matcher([(name, None) for name in tensors], matcher(coarse=True))
    except Exception:
        return ()
    parts = [tuple(groups[number]) for number in sorted(groups)]
    if len(parts) < 3 or sorted(name for part in parts for name in part) != sorted(tensors):
        return ()
    if _interleaved(parts, parameters):
        return ()
    if all(tensors[name].ndim < 2 for name in parts[-1]):
        parts[-2:] = [parts[-2] + parts[-1]]
    return tuple(
        Stage(name=name, tensors=part) for name, part in zip(_names(parts), parts, strict=True)
    )


def _interleaved(parts: Sequence[tuple[str, ...]], parameters: Sequence[str]) -> bool:
    """Whether a parameter of the last part is defined before one of a part in the middle."""
    position = {name: place for place, name in enumerate(parameters)}
    middle = [position[name] for part in parts[1:-1] for name in part if name in position]
    last = [position[name] for name in parts[-1] if name in position]
    return bool(middle and last) and min(last) < max(middle)


def _names(parts: Sequence[tuple[str, ...]]) -> list[str]:
    names = ["stem"]
    for part in parts[1:]:
        # ``blocks.3.0.conv_pw.weight`` is in ``blocks.3``, ``layer1.0.bn1.bias`` in ``layer1``.
        match = re.match(r"[^.]*\d[^.]*|[^.\d]+\.\d+|[^.]+", part[0])
        name = match.group() if match else part[0]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names
