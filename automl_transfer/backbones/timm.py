"""``timm/NAME[.TAG][@SIZE]``: every pretrained network of timm.

``timm/resnet50.a1_in1k`` are the weights with the tag ``a1_in1k``; without a tag, those that timm
prefers, and the card bears the tag. ``@224`` runs the network at 224 x 224 pixels in place of the
size that it was pretrained at. A card is made from timm's own tables: no network, no weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl_transfer.backbones.costs import measure
from automl_transfer.backbones.licences import spdx
from automl_transfer.backbones.networks import Network, seeded
from automl_transfer.backbones.pretraining import described, kind_of
from automl_transfer.backbones.tensors import load_tensors, misfits, read_tensors
from automl_transfer.cards import BackboneCard, FeatureCard, WeightsCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

FACTORY = "automl_transfer.backbones.timm:build"
_PREFIX = "timm/"
_SIZE = re.compile(r"@(\d+)$")
# Options of `timm.create_model` by which a stranger's `config.json` could reach for other files.
_FORBIDDEN = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "model_name",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "scriptable",
    }
)


def resolve(id: str) -> BackboneCard | None:
    """The card of a network of timm, or None if ``id`` does not begin with ``timm/``.

    Raises:
        UsageError: timm has no such architecture, tag or size.
    """
    if not id.startswith(_PREFIX):
        return None
    import timm

    name = id.removeprefix(_PREFIX)
    wanted = _SIZE.search(name)
    if wanted and not 32 <= int(wanted.group(1)) <= 4096:
        raise UsageError(
            f"A backbone 'timm/NAME@SIZE' must run at 32 to 4096 pixels a side, but got {name!r}."
        )
    name = _SIZE.sub("", name)
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UsageError(
            f"A backbone 'timm/NAME' must be an architecture of timm {timm.__version__}, but got "
            f"{architecture!r}.{did_you_mean(architecture, timm.list_models())}"
        )
    tagged = timm.list_models(f"{architecture}.*", pretrained=True)
    if (tag and name not in tagged) or not tagged:
        raise UsageError(
            f"A backbone 'timm/NAME.TAG' must be pretrained weights of timm {timm.__version__}, "
            f"but got {name!r}. Tags of {architecture}: "
            f"{', '.join(known.partition('.')[2] for known in tagged) or 'none'}."
        )
    config = timm.get_pretrained_cfg(name).to_dict()
    full = name if tag else f"{architecture}.{config['tag']}"
    sources = _sources(config)
    if not sources:
        raise UsageError(
            f"Pretrained weights must be safetensors or a checkpoint of tensors, but timm has "
            f"{full!r} in another form only. Choose another tag of {', '.join(tagged)}."
        )
    size = int(wanted.group(1)) if wanted else None
    tag = full.partition(".")[2]
    weights = WeightsCard(
        sources=sources, license=spdx(config.get("license")), pretrained_on=described(tag)
    )
    arguments: dict[str, Any] = {"architecture": architecture}
    if size is not None and config.get("fixed_input_size"):
        arguments["model_args"] = {"img_size": size}
    return card(
        id=f"{_PREFIX}{full}{f'@{size}' if size else ''}",
        weights=weights,
        arguments=arguments,
        pretrained=config,
        size=size,
        tags=(kind_of(tag),),
    )


def card(
    *,
    id: str,
    weights: WeightsCard,
    arguments: Mapping[str, Any],
    pretrained: Mapping[str, Any],
    size: int | None = None,
    tags: tuple[str, ...] = (),
) -> BackboneCard:
    """The card of an architecture of timm with a ``pretrained_cfg``, after a dry run.

    Raises:
        UsageError: timm cannot build it with these arguments.
    """
    channels, height, width = pretrained.get("input_size") or (3, 224, 224)
    shape = [channels, size or height, size or width]
    classifier = pretrained.get("classifier") or ()
    full = {
        **arguments,
        "classifier": [classifier] if isinstance(classifier, str) else list(classifier),
    }
    try:
        measured = measure(lambda: _network(full, seed=0), shape)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"timm must be able to build {arguments['architecture']!r} with "
            f"{dict(arguments.get('model_args', {}))}, but it says: {error}"
        ) from error
    mode = "squash" if pretrained.get("crop_mode") == "squash" else "center"
    return BackboneCard(
        id=id,
        factory=FACTORY,
        modality="image",
        family="timm",
        weights=weights,
        input={
            "size": shape,
            "mean": list(pretrained.get("mean") or (0.485, 0.456, 0.406)),
            "std": list(pretrained.get("std") or (0.229, 0.224, 0.225)),
            "interpolation": pretrained.get("interpolation") or "bicubic",
            "crop_pct": float(pretrained.get("crop_pct") or 0.875),
            "crop_mode": mode,
        },
        features=FeatureCard(width=measured.width),
        cost=measured.cost,
        arguments=full,
        tags=tags,
    )


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Network:
    """Builds a network of timm without its classifier."""
    network = _network(card.arguments, seed)
    if weights is not None:
        tensors = read_tensors(weights)
        classifier = tuple(card.arguments.get("classifier", ()))
        kept = _without(tensors, classifier, network.module)
        if misfits(network.module, kept):
            kept = _without(
                _converted(card.arguments["architecture"], tensors, network.module),
                classifier,
                network.module,
            )
        load_tensors(network.module, kept, weights)
    return network


def _network(arguments: Mapping[str, Any], seed: int) -> Network:
    import timm

    from automl_transfer.backbones.timm_stages import stages

    architecture = arguments["architecture"]
    options = dict(arguments.get("model_args") or {})
    options.pop("num_classes", None)
    refused = sorted(_FORBIDDEN & options.keys())
    if not timm.is_model(architecture) or refused:
        found = f"model_args {refused}" if refused else f"the architecture {architecture!r}"
        raise UsageError(
            f"A network of timm is built from an architecture of timm {timm.__version__} and "
            f"options of that architecture, but got {found}."
            f"{'' if refused else did_you_mean(architecture, timm.list_models())}"
        )
    with seeded(seed):
        module = timm.create_model(architecture, pretrained=False, num_classes=0, **options)
    return Network(
        module=module.eval(), forward=lambda module, batch: module(batch), stages=stages(module)
    )


def _sources(config: Mapping[str, Any]) -> tuple[str, ...]:
    sources = []
    if config.get("hf_hub_id") and not config.get("hf_hub_filename"):
        sources.append(f"hf:{config['hf_hub_id']}")
    url = config.get("url") or ""
    if url.endswith((".pth", ".pt", ".safetensors")) and not config.get("custom_load"):
        sources.append(f"url:{url}")
    return tuple(sources)


def _without(
    tensors: Mapping[str, torch.Tensor], classifier: tuple[str, ...], module: nn.Module
) -> dict[str, torch.Tensor]:
    """The tensors that are not the classifier's, the network being built without one."""
    dropped = tuple(f"{_emptied(name, module)}." for name in classifier)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(dropped)}


def _emptied(name: str, module: nn.Module) -> str:
    """The outermost part of the path ``name`` that the network without a classifier lacks.

    LeViT's classifier is ``head.linear``, but its batch norm goes with it: all of ``head`` is an
    identity then.
    """
    from torch import nn

    parts = name.split(".")
    here: Any = module
    for count, part in enumerate(parts, start=1):
        here = getattr(here, part, None)
        if here is None or isinstance(here, nn.Identity):
            return ".".join(parts[:count])
    return name


def _converted(
    architecture: str, tensors: Mapping[str, torch.Tensor], module: nn.Module
) -> Mapping[str, torch.Tensor]:
    """The tensors as timm converts those of original releases, position grids resized."""
    import sys

    from timm.models import model_entrypoint

    home = sys.modules[model_entrypoint(architecture).__module__]
    convert = getattr(home, "checkpoint_filter_fn", None)
    if convert is None:
        return tensors
    converted: Mapping[str, torch.Tensor] = convert(dict(tensors), module)
    return converted
