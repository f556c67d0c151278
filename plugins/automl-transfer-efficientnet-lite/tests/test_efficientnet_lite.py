"""The conformance kit on both networks; and that their weights are in the right places."""

from __future__ import annotations

import pytest
import torch
from automl_transfer_efficientnet_lite.network import build, renamed
from automl_transfer_efficientnet_lite.plugin import CARDS

from automl_transfer.plugins import load_registry
from automl_transfer.testing.kit.members import weights_here
from automl_transfer.testing.suites import Conformance


class TestLite1(Conformance):
    id = "efficientnet-lite/lite1"


class TestLite2(Conformance):
    id = "efficientnet-lite/lite2"


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_the_classifier_of_the_checkpoint_is_sure_of_a_grey_square_more_than_of_noise(
    card,
) -> None:
    """Weights in the wrong places would make the classifier as unsure as a random network."""
    weights = weights_here(load_registry(), card)
    assert weights is not None and weights.sha256 == card.weights.sha256
    network = build(card=card, weights=weights, seed=0)
    blocks = [len(group) for group in network.module.blocks]
    stored = renamed(torch.load(weights.path, weights_only=True), blocks)
    size = card.input["size"][-1]
    # A white disc on black: a shape that is among the thousand classes in many guises.
    rows = torch.linspace(-1, 1, size)
    disc = ((rows[:, None] ** 2 + rows[None] ** 2) < 0.4).float() * 2 - 1
    batch = disc.expand(1, 3, size, size)
    with torch.inference_mode():
        found, random = (
            torch.softmax(
                torch.nn.functional.linear(
                    made.features(batch), stored["classifier.weight"], stored["classifier.bias"]
                ),
                dim=1,
            )
            for made in (network, build(card=card, weights=None, seed=0))
        )
    assert float(found.max()) > 3 * float(random.max())
