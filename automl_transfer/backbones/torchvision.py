"""``torchvision/NAME[.WEIGHTS]``: the classification networks of torchvision.

``torchvision/resnet50.IMAGENET1K_V2``; without weights, those that torchvision prefers, and the
card bears their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl_transfer.backbones.costs import measure
from automl_transfer.backbones.networks import Network, seeded
from automl_transfer.backbones.tensors import load_tensors, read_tensors
from automl_transfer.cards import BackboneCard, FeatureCard, WeightsCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "torchvision/"
# These two want their input in another range when they are pretrained, and carry classifiers of
# middle layers that only their training needs.
_SPECIAL = {
    "googlenet": {"transform_input": True, "aux_logits": True, "init_weights": True},
    "inception_v3": {"transform_input": True, "aux_logits": True, "init_weights": True},
}
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
_HEADS = ("fc", "classifier", "head", "heads")


def resolve(id: str) -> BackboneCard | None:
    """The card of a network of torchvision, or None if ``id`` is not ``torchvision/...``.

    Raises:
        UsageError: torchvision has no such network or weights.
    """
    if not id.startswith(_PREFIX):
        return None
    from torchvision import models

    architecture, _, wanted = id.removeprefix(_PREFIX).partition(".")
    known = models.list_models(module=models)
    if architecture not in known:
        raise UsageError(
            f"A backbone 'torchvision/NAME' must be a classification network of torchvision, but "
            f"got {architecture!r}.{did_you_mean(architecture, known)}"
        )
    choices = models.get_model_weights(architecture)
    names = list(choices.__members__)
    if wanted and wanted not in names:
        raise UsageError(
            f"A backbone 'torchvision/NAME.WEIGHTS' must name weights of {architecture} "
            f"({', '.join(names)}), but got {wanted!r}."
        )
    chosen = choices[wanted] if wanted else choices.DEFAULT
    meta = chosen.meta
    if not meta.get("categories"):
        raise UsageError(
            f"Weights of torchvision must cover the whole network, but {architecture}.{wanted} "
            "has no trained layers after the convolutions. Choose another of "
            f"{', '.join(names)}."
        )
    shape = _input(chosen.transforms())
    arguments: dict[str, Any] = {"architecture": architecture}
    if architecture.startswith("vit_"):
        # Their grid of positions is made for one size.
        arguments["options"] = {"image_size": shape["size"][-1]}
    measured = measure(lambda: _network(arguments, None, 0), shape["size"])
    return BackboneCard(
        id=f"{_PREFIX}{architecture}.{chosen.name}",
        factory="automl_transfer.backbones.torchvision:build",
        modality="image",
        family="torchvision",
        weights=WeightsCard(
            sources=(f"url:{chosen.url}",),
            # torchvision states a licence only where it differs from what the authors of the
            # weights never stated; silence is not BSD.
            license="CC-BY-NC-4.0" if "SWAG" in chosen.name else None,
            pretrained_on=_pretrained_on(chosen.name, len(meta["categories"])),
        ),
        input=shape,
        features=FeatureCard(width=measured.width),
        cost=measured.cost,
        arguments=arguments,
        tags=("weakly-supervised" if "SWAG" in chosen.name else "supervised",),
    )


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Network:
    """Builds a network of torchvision, and takes its classifier off once it is loaded whole."""
    return _network(card.arguments, weights, seed)


def _network(arguments: Mapping[str, Any], weights: LocalWeights | None, seed: int) -> Network:
    from torchvision import models

    architecture = arguments["architecture"]
    options = {**_SPECIAL.get(architecture, {}), **(arguments.get("options") or {})}
    with seeded(seed):
        module: nn.Module = models.get_model(architecture, weights=None, **options)
    if weights is not None:
        tensors = read_tensors(weights)
        if architecture.startswith("densenet"):
            tensors = {_densenet_name(name): tensor for name, tensor in tensors.items()}
        load_tensors(module, tensors, weights)
    _behead(module, architecture)
    return Network(module=module.eval(), forward=lambda module, batch: module(batch))


def _behead(module: Any, architecture: str) -> None:
    """Replaces the last linear layer by nothing."""
    from torch import nn

    if architecture in _SPECIAL:
        module.aux_logits = False
        for name in _AUXILIARY:
            if hasattr(module, name):
                setattr(module, name, None)
    if architecture.startswith("squeezenet"):
        # Its classifier is a convolution to the classes, and averages afterwards.
        module.classifier = nn.AdaptiveAvgPool2d(1)
        return
    for name in _HEADS:
        head = getattr(module, name, None)
        if isinstance(head, nn.Linear):
            setattr(module, name, nn.Identity())
            return
        if isinstance(head, nn.Sequential):
            last = max(place for place, layer in enumerate(head) if isinstance(layer, nn.Linear))
            head[last] = nn.Identity()
            return
    raise UsageError(
        f"A network of torchvision must end in one of {', '.join(_HEADS)}, but {architecture!r} "
        "does not. Use the same network from timm."
    )


def _input(transforms: Any) -> dict[str, Any]:
    crop = int(transforms.crop_size[0])
    resize = int(transforms.resize_size[0])
    return {
        "size": [3, crop, crop],
        "mean": [float(value) for value in transforms.mean],
        "std": [float(value) for value in transforms.std],
        "interpolation": transforms.interpolation.value,
        "crop_pct": round(crop / resize, 6),
        "crop_mode": "center",
    }


def _pretrained_on(name: str, classes: int) -> str:
    if "SWAG" in name:
        how = "fine-tuned end to end" if "E2E" in name else "linear head trained"
        return f"Instagram-3.6B hashtags (SWAG), weakly supervised; {how} on ImageNet-1k"
    return "ImageNet-1k, supervised" if classes == 1000 else f"not known ({name})"


def _densenet_name(name: str) -> str:
    """Names of the released DenseNet files, ``norm.1.weight``, as the network has them."""
    import re

    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.)", r"\1\2", name)
