"""Low-rank adapters by peft: put in, trained, merged back into the plain weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from automl_transfer.errors import TrialError
from automl_transfer.plan import Adapter


def targets(module: nn.Module, names: Mapping[str, float]) -> list[str]:
    """Layers that can be adapted, by exact name, among those whose weight is in ``names``.

    Linear layers, and 1 x 1 convolutions without groups, which are linear layers over channels.
    Exact types only: a layer that derives its weight from its parameter (weight standardisation)
    is not the sum of its weight and a low-rank product.
    """
    return [
        name
        for name, child in module.named_modules()
        if f"{name}.weight" in names
        and (
            type(child) is nn.Linear
            or (type(child) is nn.Conv2d and child.kernel_size == (1, 1) and child.groups == 1)
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
            "LoRA needs linear layers or 1x1 convolutions in the stages that train, but found "
            "none. Choose another strategy for this backbone."
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


def groups(module: nn.Module, lr: float, names: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameter groups of an optimiser: one a learning-rate multiplier.

    Args:
        module: With adapters in.
        lr: Learning rate of a stage with multiplier 1, stored as ``base_lr``.
        names: Multiplier of each tensor of the plain network in the stages that train.
    """
    found: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        layer, is_adapter, _ = name.partition(".lora_")
        if is_adapter:
            found.setdefault(names[f"{layer}.weight"], []).append(parameter)
    return [
        {"params": parameters, "base_lr": lr * multiplier, "weight_decay": 0.0}
        for multiplier, parameters in found.items()
    ]


def switch(module: nn.Module) -> None:
    """Everything in eval mode, but the adapters' dropout."""
    module.eval()
    for name, child in module.named_modules():
        if name.rpartition(".")[0].endswith("lora_dropout"):
            child.train()


def base_name(name: str, present: Collection[str]) -> str:
    """Where a tensor of the plain network lies while adapters are in.

    Args:
        name: In the plain network.
        present: Names of the network with adapters.
    """
    if name in present:
        return name
    layer, tensor = name.rsplit(".", 1)
    return f"{layer}.base_layer.{tensor}"
