"""``local:PATH``: a directory on this machine, as timm or Transformers lays it out.

timm's ``local-dir:`` layout is a ``config.json`` with ``architecture`` (and, if need be,
``model_args`` and ``pretrained_cfg``) beside ``model.safetensors``; that of Transformers is what
``save_pretrained`` writes. The card says which in its ``family``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl_transfer.backbones import timm, transformers
from automl_transfer.backbones.licences import spdx
from automl_transfer.cards import BackboneCard, WeightsCard
from automl_transfer.errors import UsageError
from automl_transfer.weights import SAFETENSORS

_PREFIX = "local:"
_LOOKED_FOR = f"a directory with config.json and {SAFETENSORS}"


def resolve(id: str) -> BackboneCard | None:
    """The card of a directory, or None if ``id`` does not begin with ``local:``.

    Raises:
        UsageError: The directory is not laid out as timm or Transformers do.
    """
    if not id.startswith(_PREFIX):
        return None
    path = Path(id.removeprefix(_PREFIX)).expanduser()
    for name, found in (("", path.is_dir()), ("config.json", (path / "config.json").is_file())):
        if not found:
            lacking = f"{path} has no {name}" if name else f"{path} is no directory"
            raise UsageError(f"A backbone 'local:PATH' must be {_LOOKED_FOR}, but {lacking}.")
    tensors = path / SAFETENSORS
    if not tensors.is_file():
        others = sorted(file.name for file in path.glob("*.bin")) + sorted(
            file.name for file in path.glob("*.pt*")
        )
        only = f" (pickled files such as {others[0]} are never opened)" if others else ""
        raise UsageError(
            f"A backbone 'local:PATH' must be {_LOOKED_FOR}, but {path} has no "
            f"{SAFETENSORS}{only}."
        )
    config = transformers.read_json(path / "config.json")
    if "architecture" in config:
        return _of_timm(id, path, config)
    if "model_type" in config:
        return _of_transformers(id, path, config)
    raise UsageError(
        "The config.json of a backbone 'local:PATH' must have 'architecture' (timm) or "
        f"'model_type' (Transformers), but that of {path} has {sorted(config)[:8]}."
    )


def _of_timm(id: str, path: Path, config: Mapping[str, Any]) -> BackboneCard:
    pretrained = {**config, **(config.get("pretrained_cfg") or {})}
    weights = WeightsCard(
        sources=(f"dir:{path}",),
        bytes=(path / SAFETENSORS).stat().st_size,
        license=spdx(pretrained.get("license")),
        pretrained_on=pretrained.get("pretrained_on") or pretrained.get("tag") or None,
    )
    arguments: dict[str, Any] = {"architecture": str(config["architecture"])}
    if config.get("model_args"):
        arguments["model_args"] = dict(config["model_args"])
    return timm.card(
        id=id,
        weights=weights,
        arguments=arguments,
        pretrained={**_defaults(arguments["architecture"]), **pretrained},
    )


def _of_transformers(id: str, path: Path, config: Mapping[str, Any]) -> BackboneCard:
    preprocessor = path / "preprocessor_config.json"
    readme = path / "README.md"
    card = transformers.card(
        id=id,
        source=f"dir:{path}",
        config=config,
        preprocessor=transformers.read_json(preprocessor) if preprocessor.is_file() else {},
        licence=transformers.licence_of(readme.read_text("utf-8")) if readme.is_file() else None,
    )
    size = (path / SAFETENSORS).stat().st_size
    return replace(card, weights=replace(card.weights, bytes=size))


def _defaults(architecture: str) -> dict[str, Any]:
    """What timm itself knows of the input of an architecture."""
    import timm as library

    known = library.get_pretrained_cfg(architecture, allow_unregistered=True)
    keys = ("input_size", "mean", "std", "interpolation", "crop_pct", "classifier")
    told = known.to_dict() if known is not None else {}
    return {key: told[key] for key in keys if told.get(key) is not None}
