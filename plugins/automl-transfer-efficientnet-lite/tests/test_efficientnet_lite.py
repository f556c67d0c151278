"""The conformance kit on both networks; and that their weights are in the right places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from automl_transfer_efficientnet_lite.network import build, renamed
from automl_transfer_efficientnet_lite.plugin import CARDS
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from automl_transfer.plugins import load_registry
from automl_transfer.testing.kit.members import weights_here
from automl_transfer.testing.suites import Conformance


class TestLite1(Conformance):
    id = "efficientnet-lite/lite1"


class TestLite2(Conformance):
    id = "efficientnet-lite/lite2"
    level = "card"  # the same code, larger: what is built and trained is checked on the other


PALACE = 698
"""ImageNet's class of what the picture shows."""


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_the_classifier_of_the_checkpoint_sees_a_palace_in_a_picture_of_one(card) -> None:
    """Were tensors in the wrong places, it would see anything."""
    weights = weights_here(load_registry(), card)
    assert weights is not None and weights.sha256 == card.weights.sha256
    network = build(card=card, weights=weights, seed=0)
    blocks = [len(group) for group in network.module.blocks]
    stored = renamed(torch.load(weights.path, weights_only=True), blocks)
    size = card.input["size"][-1]
    picture = ImageOps.fit(Image.fromarray(load_sample_image("china.jpg")), (size, size))
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        scores = torch.nn.functional.linear(
            network.features((values - 0.5) / 0.5),
            stored["classifier.weight"],
            stored["classifier.bias"],
        )
    assert int(scores.argmax()) == PALACE
