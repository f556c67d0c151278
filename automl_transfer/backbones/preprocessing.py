"""What a ``preprocessor_config.json`` of Transformers says, in the words of the image modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
_HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
_CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
# Used where a repository has no preprocessor_config.json: what the family's authors trained with.
_STATISTICS = {
    "vit": _HALF,
    "siglip_vision_model": _HALF,
    "clip_vision_model": _CLIP,
    "metaclip_2_vision_model": _CLIP,
}
# Numbers of PIL's filters.
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
_CONVNEXT_SHARE = 224 / 256


def image_input(config: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """The ``input`` of a card: size (channels, h, w), mean, std, interpolation and cropping.

    Args:
        config: The ``config.json`` of the image network.
        preprocessor: The ``preprocessor_config.json``, or an empty mapping.
    """
    height, width = _pair(config.get("image_size")) or (224, 224)
    share, mode = 1.0, "squash"
    resize = preprocessor.get("size")
    if preprocessor.get("do_center_crop") and preprocessor.get("crop_size"):
        height, width = _pair(preprocessor["crop_size"]) or (height, width)
        shorter = _shorter(resize) or height
        share, mode = min(1.0, height / shorter), "center"
    elif "crop_pct" in preprocessor or "ConvNext" in _name(preprocessor):
        shorter = _shorter(resize) or height
        height = width = shorter
        # ConvNeXt's own rule: from 384 pixels on the whole image is squeezed, nothing is cropped.
        if shorter < 384:
            share, mode = float(preprocessor.get("crop_pct") or _CONVNEXT_SHARE), "center"
    elif isinstance(resize, Mapping) and "shortest_edge" in resize:
        height, width = _pair(resize) or (height, width)
        mode = "center"
    elif resize is not None:
        height, width = _pair(resize) or (height, width)
    elif not preprocessor:
        share, mode = 0.875, "center"
    mean, std = _STATISTICS.get(str(config.get("model_type")), _IMAGENET)
    if preprocessor.get("do_normalize") is False:
        mean, std = [0.0] * 3, [1.0] * 3
    return {
        "size": [int(config.get("num_channels") or 3), height, width],
        "mean": [float(value) for value in preprocessor.get("image_mean") or mean],
        "std": [float(value) for value in preprocessor.get("image_std") or std],
        "interpolation": _FILTERS.get(preprocessor.get("resample", 3), "bicubic"),
        "crop_pct": round(share, 6),
        "crop_mode": mode,
    }


def _name(preprocessor: Mapping[str, Any]) -> str:
    keys = ("image_processor_type", "feature_extractor_type")
    return " ".join(str(preprocessor.get(key, "")) for key in keys)


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        if edge is not None:
            return int(edge), int(edge)
        if "height" in size and "width" in size:
            return int(size["height"]), int(size["width"])
    if isinstance(size, (list, tuple)) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None


def _shorter(size: Any) -> int | None:
    pair = _pair(size)
    return min(pair) if pair else None
