"""What modules return: tensors, and tuples and lists of them.

A template is an output in which each tensor that has a row for each sample is replaced by a mark;
whatever else is in it is the same for all batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

VALUE = object()
"""In a template: a tensor with a row for each sample."""


def template_of(output: Any, count: int) -> Any:
    """The template of an output for ``count`` samples."""
    if isinstance(output, torch.Tensor):
        each = output.dim() > 0 and len(output) == count and output.is_floating_point()
        return VALUE if each else output
    if isinstance(output, (tuple, list)):
        return _rebuilt(output, [template_of(item, count) for item in output])
    return output


def _rebuilt(like: Any, items: list[Any]) -> Any:
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


def tensors_of(output: Any, template: Any) -> Iterator[torch.Tensor]:
    """The tensors of an output that its template marks, in order."""
    if template is VALUE:
        yield output
    elif isinstance(template, (tuple, list)):
        for item, place in zip(output, template, strict=True):
            yield from tensors_of(item, place)


def filled(template: Any, values: Iterator[torch.Tensor]) -> Any:
    """An output with ``values`` at the marks of its template."""
    if template is VALUE:
        return next(values)
    if isinstance(template, (tuple, list)):
        return _rebuilt(template, [filled(item, values) for item in template])
    return template


def blank(template: Any, output: Any) -> Any:
    """One sample of zeros in place of each value."""
    values = (torch.zeros_like(value[:1]) for value in tensors_of(output, template))
    return filled(template, values)


def all_tensors(output: Any) -> Iterator[torch.Tensor]:
    """Every tensor in an output, in dictionaries too."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for item in output.values():
            yield from all_tensors(item)
    elif isinstance(output, (tuple, list)):
        for item in output:
            yield from all_tensors(item)
