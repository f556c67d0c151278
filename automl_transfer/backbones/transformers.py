"""``hf/REPOSITORY[@REVISION]``: vision networks of Transformers on the Hugging Face hub.

ViT, DINOv2, ConvNeXt, ResNet and their like, and the image towers of CLIP and SigLIP. The card is
made from the ``config.json`` of the repository, out of the local cache or from the hub. Only
safetensors are read, and no code of a repository is ever run.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_transfer.backbones.costs import measure
from automl_transfer.backbones.licences import spdx
from automl_transfer.backbones.networks import Network, seeded
from automl_transfer.backbones.preprocessing import image_input
from automl_transfer.cards import BackboneCard, FeatureCard, WeightsCard
from automl_transfer.contracts import Batch, LocalWeights
from automl_transfer.errors import UsageError, WeightsUnavailableError
from automl_transfer.weights import HubProbe, hub_file, shared_probe, tensor_file

if TYPE_CHECKING:
    import torch
    from torch import nn

FACTORY = "automl_transfer.backbones.transformers:build"
_PREFIX = "hf/"
_TOWERS = frozenset({"clip", "siglip", "metaclip_2"})
# Heads and halves that a backbone is rightly without; anything else left over is a mistake.
_LEFT_OUT = re.compile(
    r"(.*\.)?(classifier|cls_classifier|distillation_classifier|head|lm_head|decoder|pooler"
    r"|text_model|text_projection|visual_projection|text_embeds|logit_scale|logit_bias|mask_token"
    r"|position_ids|relative_position_index)(\.|$)"
)
_LICENCE = re.compile(r"\A---\s*\n(?:.*\n)*?license:\s*[\"']?([\w.+-]+)", re.MULTILINE)
_SELF_SUPERVISED = ("dinov2", "dinov2_with_registers", "dinov3_vit", "ijepa", "vit_msn")


def resolve(id: str, *, offline: bool = False, hub: HubProbe | None = None) -> BackboneCard | None:
    """The card of a vision network on the hub, or None if ``id`` does not begin with ``hf/``.

    Raises:
        UsageError: The name is no repository, or holds no vision network that is known here.
        WeightsUnavailableError: Its ``config.json`` is neither in the cache nor to be had.
    """
    if not id.startswith(_PREFIX):
        return None
    repo, _, revision = id.removeprefix(_PREFIX).partition("@")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UsageError(
            f"A backbone 'hf/...' must be a repository of the Hugging Face hub, "
            f"'hf/OWNER/NAME[@REVISION]', but got {id!r}."
        )
    probe = hub or shared_probe()

    def read(name: str) -> str:
        path = hub_file(repo, revision or None, name, offline=offline, hub=probe)
        return path.read_text(encoding="utf-8")

    config = _parsed(read("config.json"), f"{repo}/config.json")
    if "model_type" not in config and "architecture" in config:
        raise UsageError(
            f"A backbone 'hf/...' must be a network of Transformers, but {repo!r} is one of timm. "
            f"Name it 'timm/{repo.partition('/')[2]}'."
        )
    extra = {}
    for name in ("preprocessor_config.json", "README.md"):
        with contextlib.suppress(WeightsUnavailableError):
            extra[name] = read(name)
    return card(
        id=id,
        source=f"hf:{repo}{f'@{revision}' if revision else ''}",
        config=config,
        preprocessor=_parsed(extra.get("preprocessor_config.json", "{}"), repo),
        licence=licence_of(extra.get("README.md", "")),
    )


def card(
    *,
    id: str,
    source: str,
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
    licence: str | None,
) -> BackboneCard:
    """The card of a network with this ``config.json``, after a dry run.

    Raises:
        UsageError: It is no vision network that is known here.
    """
    tower = _tower(config, id)
    arguments = {"config": tower}
    shape = image_input(tower, preprocessor)
    try:
        measured = measure(lambda: _random(arguments, seed=0), shape["size"])
    except Exception as error:
        raise UsageError(
            f"Transformers must be able to build {id!r} from its config.json, but it says: {error}"
        ) from error
    kind = tower["model_type"]
    image_text = kind.startswith(("clip", "siglip", "metaclip"))
    tags = ("image-text",) if image_text else ()
    if kind in _SELF_SUPERVISED:
        tags = ("self-supervised",)
    return BackboneCard(
        id=id,
        factory=FACTORY,
        modality="image",
        family="transformers",
        weights=WeightsCard(sources=(source,), license=licence),
        input=shape,
        features=FeatureCard(width=measured.width),
        cost=measured.cost,
        arguments=arguments,
        tags=tags,
    )


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Network:
    """Builds a network of Transformers, without its head and without the tower for text."""
    if weights is None:
        return _random(card.arguments, seed)
    from transformers import AutoModel

    file = tensor_file(weights.path)
    if file.name != "model.safetensors":
        raise WeightsUnavailableError(
            f"Weights of Transformers must be a file model.safetensors, but got {file}. Save the "
            "network with save_pretrained."
        )
    config = _config(card.arguments["config"])
    with seeded(seed), _quiet():
        import torch

        try:
            module, report = AutoModel.from_pretrained(
                file.parent,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **_options(card.arguments["config"]),
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise WeightsUnavailableError(
                f"Weights must fit their config.json, but {weights.source} does not "
                f"({str(error).strip().splitlines()[-1]}). Get them again."
            ) from error
    _check(report, weights)
    return _wrapped(module, card.arguments["config"])


def licence_of(readme: str) -> str | None:
    """The licence in the front matter of a model card."""
    match = _LICENCE.match(readme.replace("\r\n", "\n"))
    return spdx(match.group(1)) if match else None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    return _parsed(path.read_text(encoding="utf-8"), str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} must be JSON, but it is not ({error}).") from error
    if not isinstance(value, dict):
        raise UsageError(f"{where} must hold a JSON object, but it holds {type(value).__name__}.")
    return value


def _tower(config: Mapping[str, Any], id: str) -> dict[str, Any]:
    """The part of a configuration that describes the image network."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    kind = str(config.get("model_type"))
    if kind in _TOWERS:
        return {"model_type": f"{kind}_vision_model", **(config.get("vision_config") or {})}
    tower = kind in {f"{name}_vision_model" for name in _TOWERS}
    known = kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_MAPPING
    if known and (tower or CONFIG_MAPPING[kind] in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING):
        model = MODEL_MAPPING[CONFIG_MAPPING[kind]]
        if not isinstance(model, tuple) and model.main_input_name == "pixel_values":
            return dict(config)
    raise UsageError(
        f"A backbone of Transformers must be a vision network (such as vit, dinov2, clip, siglip, "
        f"convnext, resnet), but the config.json of {id!r} says model_type {kind!r}."
    )


def _config(tower: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(**dict(tower))


def _options(tower: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out a pooler that is a layer of its own.

    Many checkpoints have none, and where there is one it was trained for another task.
    """
    return {"add_pooling_layer": False} if tower["model_type"] in {"vit", "deit", "ijepa"} else {}


def _random(arguments: Mapping[str, Any], seed: int) -> Network:
    from transformers import AutoModel

    tower = arguments["config"]
    with seeded(seed), _quiet():
        module = AutoModel.from_config(
            _config(tower), trust_remote_code=False, **_options(tower)
        ).float()
    return _wrapped(module, tower)


def _wrapped(module: nn.Module, tower: Mapping[str, Any]) -> Network:
    embeddings = getattr(module, "embeddings", None)
    has_token = getattr(embeddings, "cls_token", None) is not None

    def forward(module: nn.Module, batch: Batch) -> torch.Tensor:
        output = module(pixel_values=batch)
        pooler = getattr(output, "pooler_output", None)
        if pooler is not None:
            found: torch.Tensor = pooler
        elif has_token:
            found = output.last_hidden_state[:, 0]
        else:
            found = output.last_hidden_state
        return found

    return Network(module=module.eval(), forward=forward)


def _check(report: Mapping[str, Any], weights: LocalWeights) -> None:
    missing = sorted(report["missing_keys"])
    mismatched = sorted(str(entry) for entry in report["mismatched_keys"])
    extra = sorted(name for name in report["unexpected_keys"] if not _LEFT_OUT.match(name))
    found = [
        f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''} {word}"
        for names, word in (
            (missing, "missing"),
            (extra, "left over"),
            (mismatched, "of another shape"),
        )
        if names
    ]
    if found:
        raise WeightsUnavailableError(
            f"Weights must fit their config.json tensor for tensor, but {weights.source} has "
            f"{'; '.join(found)}. Choose another model."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no tables of left-out heads: :func:`_check` reads those."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
