"""Writes ``automl_transfer/backbones/portfolio.json`` from timm's own tables.

    python benchmarks/make_portfolio.py

No network is needed. Run it when the choice below changes, and read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path

from automl_transfer.backbones import timm
from automl_transfer.jsonable import to_json

TARGET = Path(__file__).parents[1] / "automl_transfer" / "backbones" / "portfolio.json"

# Every licence allows commercial use; every size has all three kinds of pretraining.
CHOICE = {
    "tiny": (
        "timm/mobilenetv3_small_100.lamb_in1k",
        "timm/convnext_atto.d2_in1k",
        "timm/vit_tiny_patch16_224.augreg_in21k",
        "timm/eva02_tiny_patch14_224.mim_in22k",
        "timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m",
    ),
    "small": (
        "timm/resnet50.a1_in1k",
        "timm/convnext_tiny.in12k",
        "timm/vit_small_patch16_224.augreg_in21k",
        "timm/vit_small_patch16_224.dino",
        "timm/vit_small_patch14_dinov2.lvd142m@224",
        "timm/vit_medium_patch32_clip_224.tinyclip_laion400m",
    ),
    "base": (
        "timm/convnext_base.fb_in22k",
        "timm/swin_base_patch4_window7_224.ms_in22k",
        "timm/vit_base_patch16_224.augreg_in21k",
        "timm/vit_base_patch14_dinov2.lvd142m@224",
        "timm/vit_base_patch16_clip_224.openai",
        "timm/vit_base_patch16_siglip_224.v2_webli",
    ),
    "large": (
        "timm/convnext_large.fb_in22k",
        "timm/vit_large_patch16_224.augreg_in21k",
        "timm/vit_large_patch14_dinov2.lvd142m@224",
        "timm/eva02_large_patch14_224.mim_m38m",
        "timm/vit_large_patch14_clip_224.openai",
        "timm/vit_large_patch16_siglip_256.v2_webli",
    ),
}


def main() -> None:
    """Resolves every choice and writes the file."""
    cards = {}
    for ids in CHOICE.values():
        for id in ids:
            card = timm.resolve(id)
            if card is None or card.id != id:
                raise SystemExit(f"{id} must be a full name of a family, but became {card}.")
            cards[id] = to_json(card)
            print(f"{id}: {card.weights.license}, {card.weights.pretrained_on}, {card.cost}")
    content = {"sizes": {size: list(ids) for size, ids in CHOICE.items()}, "cards": cards}
    TARGET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
