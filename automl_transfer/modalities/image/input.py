"""What a backbone card says of the images that it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from automl_transfer.errors import CardError, did_you_mean

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
CROP_MODES = ("center", "squash")

_Statistics: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]

_COLOUR: _Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_GREY: _Statistics = ((0.449,), (0.226,))
_MAX_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """The ``input`` of a backbone card of modality ``image``, checked.

    Sources: the keys follow timm's ``pretrained_cfg``; mean and standard deviation default to
    those of ImageNet (for one channel, the average over the three).
    """

    size: tuple[int, int, int] = (3, 224, 224)
    """Channels (3, or 1 for grey), height, width."""
    mean: tuple[float, ...]
    """Subtracted from values in 0..1; one a channel."""
    std: tuple[float, ...]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    crop_pct: float = 0.875
    """Share of the shorter side that the crop keeps; unused with ``squash``."""
    crop_mode: Literal["center", "squash"] = "center"
    """``center``: keep the aspect and cut the middle out; ``squash``: keep everything and bend
    the aspect."""

    @classmethod
    def from_card(cls, given: Mapping[str, Any]) -> ImageInput:
        """Reads the mapping of a card.

        Raises:
            CardError: A key is unknown or a value breaks its rule.
        """
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                raise CardError(
                    f"The keys of BackboneCard.input for images are {', '.join(known)}, but got "
                    f"{key!r}.{did_you_mean(key, known)}"
                )
        size = _numbers("size", given.get("size", (3, 224, 224)), 3)
        if any(side != int(side) for side in size) or size[0] not in (1, 3):
            raise _broken("size", "be [3 or 1, height, width]", given["size"])
        channels, height, width = (int(side) for side in size)
        if not (1 <= height <= _MAX_SIDE and 1 <= width <= _MAX_SIDE):
            raise _broken("size", f"have sides from 1 to {_MAX_SIDE}", given["size"])
        mean, std = _COLOUR if channels == 3 else _GREY
        mean = _numbers("mean", given.get("mean", mean), channels)
        std = _numbers("std", given.get("std", std), channels)
        if min(std) <= 0:
            raise _broken("std", "be positive", given["std"])
        crop_pct = _numbers("crop_pct", [given.get("crop_pct", cls.crop_pct)], 1)[0]
        if not 0 < crop_pct <= 1:
            raise _broken("crop_pct", "lie in (0, 1]", crop_pct)
        return cls(
            size=(channels, height, width),
            mean=mean,
            std=std,
            interpolation=_one_of(given, "interpolation", INTERPOLATIONS, cls.interpolation),
            crop_pct=crop_pct,
            crop_mode=_one_of(given, "crop_mode", CROP_MODES, cls.crop_mode),
        )


def _broken(key: str, rule: str, value: object) -> CardError:
    return CardError(f"BackboneCard.input[{key!r}] must {rule}, but got {value!r}.")


def _numbers(key: str, value: Any, count: int) -> tuple[float, ...]:
    fits = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == count
    if not fits or any(
        isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item)
        for item in value
    ):
        shown = value[0] if key == "crop_pct" else value
        raise _broken(key, f"be {count} finite number{'s' if count > 1 else ''}", shown)
    return tuple(float(item) for item in value)


def _one_of(given: Mapping[str, Any], key: str, choices: Sequence[str], default: str) -> Any:
    value = given.get(key, default)
    if value not in choices:
        raise _broken(key, f"be one of {', '.join(choices)}", value)
    return value
