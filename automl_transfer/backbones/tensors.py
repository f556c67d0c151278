"""Reading tensors from files, and putting them into a network without a gap or a leftover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import WeightsUnavailableError
from automl_transfer.weights import tensor_file

if TYPE_CHECKING:
    import torch
    from torch import nn

# Where training scripts keep the tensors inside a checkpoint, the averaged ones first.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_SHOWN = 4


def read_tensors(weights: LocalWeights) -> dict[str, torch.Tensor]:
    """Every tensor of ``weights`` by its name; those of half precision as float32.

    Raises:
        WeightsUnavailableError: The file cannot be read as safetensors, or as a checkpoint of
            tensors alone.
    """
    path = tensor_file(weights.path)
    try:
        found = _read(path)
    except Exception as error:
        raise WeightsUnavailableError(
            f"Weights must be a readable file of tensors, but {path} is not ({error}). Delete it "
            f"and get it again from {weights.source}."
        ) from error
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in found.items()
    }


def misfits(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """In what ``tensors`` differ from what ``module`` needs; empty when they fit exactly."""
    needed = module.state_dict()
    missing = [name for name in needed if name not in tensors]
    extra = [name for name in tensors if name not in needed]
    other = [
        f"{name} ({tuple(tensors[name].shape)} for {tuple(tensor.shape)})"
        for name, tensor in needed.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    parts = (("missing", missing), ("left over", extra), ("of another shape", other))
    return [f"{_some(names)} {word}" for word, names in parts if names]


def load_tensors(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], weights: LocalWeights
) -> None:
    """Copies ``tensors`` into ``module``; each must be there, and none may be left over.

    Raises:
        WeightsUnavailableError: They do not fit.
    """
    problems = misfits(module, tensors)
    if problems:
        raise WeightsUnavailableError(
            f"Weights must fit their architecture tensor for tensor, but {weights.source} has "
            f"{'; '.join(problems)}. Name an architecture and weights that belong together."
        )
    module.load_state_dict(dict(tensors), strict=True)


def _read(path: Path) -> dict[str, torch.Tensor]:
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors: dict[str, torch.Tensor] = load_file(path)
        return tensors
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    return {
        name.removeprefix("module."): tensor
        for name, tensor in content.items()
        if isinstance(tensor, torch.Tensor)
    }


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{', '.join(listed[:_SHOWN])}{more}"
