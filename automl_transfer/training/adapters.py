"""Low-rank adapters by peft: put in, trained, merged back into the plain weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from automl_transfer.errors import TrialError
from automl_transfer.plan import Adapter


def targets(module: nn.Module, names: Mapping[str, float]) -> list[str]:
    """Layers that can be adapted, by exact name, among those whose weight is in ``names``.

    Linear layers, and 1 x 1 convolutions without groups, which are linear layers over channels.
    """
    return [
        name
        for name, child in module.named_modules()
        if f"{name}.weight" in names
        and (
            type(child) is nn.Linear
            or (isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1) and child.groups == 1)
        )
    ]


def insert(module: nn.Module, adapter: Adapter, names: Mapping[str, float]) -> Any:
    """Wraps the target layers of ``module`` in place and returns peft's model.

    Raises:
        TrialError: There is no layer to adapt.
    """
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    chosen = targets(module, names)
    if not chosen:
        raise TrialError(
            "LoRA needs linear layers or 1x1 convolutions in the stages that train, but found none."
        )
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=chosen,
        bias="none",
    )
    return LoraModel(module, {"default": config}, "default")


def merge(tuned: Any) -> nn.Module:
    """Adds the low-rank products to the plain weights and takes the adapters out again."""
    plain: nn.Module = tuned.merge_and_unload()
    return plain


def adapter_parameters(module: nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """The adapters' own parameters, by name."""
    return [(name, p) for name, p in module.named_parameters() if ".lora_" in name]
