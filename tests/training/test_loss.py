"""Weights of the classes in every kind of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from automl_transfer.dataset import Sample
from automl_transfer.target import Target
from automl_transfer.testing import toy
from automl_transfer.training.closed_form import RidgeHead
from automl_transfer.training.head import fit
from automl_transfer.training.link import link_of
from automl_transfer.training.ridge import ridge_path
from automl_transfer.training.trial import Settings
from tests.training.workshop import CPU, HEADS, STRATEGIES, Arrays, toy_backbone, train

HEAD_BY_ID = {card.id: card for card in HEADS}


class Alike(Arrays):
    """Samples that do not tell their class."""

    def __init__(self) -> None:
        super().__init__((toy.WIDTH,), noise=1.0)

    def prepare(self, sample: Sample) -> np.ndarray:
        generator = np.random.default_rng(int(sample.source))
        row: np.ndarray = 1 + generator.normal(size=self.shape).astype(np.float32)
        return row


LINK = link_of(Target(names=("a", "b", "c")))
SCORES = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 1, 0, 2, 0, 1, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_sample_of_weight_three_counts_like_three(smoothing: float) -> None:
    weights = torch.tensor([1.0, 2.0, 3.0])
    repeated = LABELS.repeat_interleave(weights[LABELS].long())
    scores = SCORES.repeat_interleave(weights[LABELS].long(), dim=0)
    expected = functional.cross_entropy(
        scores, repeated, label_smoothing=smoothing, reduction="sum"
    )
    found = LINK.loss(SCORES, LABELS, class_weights=weights, label_smoothing=smoothing)
    assert float(found) == pytest.approx(float(expected) / len(LABELS), rel=1e-6)


def test_batches_add_up_to_the_whole() -> None:
    weights = torch.tensor([0.5, 1.5, 3.0])

    def loss(chosen: slice) -> float:
        found = LINK.loss(
            SCORES[chosen], LABELS[chosen], class_weights=weights, label_smoothing=0.1
        )
        return float(found) * len(LABELS[chosen])

    whole = loss(slice(0, 9))
    assert loss(slice(0, 3)) + loss(slice(3, 9)) == pytest.approx(whole, rel=1e-6)


def test_without_weights_it_is_torchs_own() -> None:
    found = LINK.loss(SCORES, LABELS, class_weights=None, label_smoothing=0.1)
    expected = functional.cross_entropy(SCORES, LABELS, label_smoothing=0.1)
    assert float(found) == float(expected)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda card: card.id)
@pytest.mark.parametrize("head", ["linear", "mlp", "ridge"])
def test_every_training_heeds_the_weights(strategy, head: str) -> None:
    def last_class(weights: tuple[float, ...] | None) -> float:
        settings = Settings(
            epochs=8, head_epochs=40, batch_size=4, head_batch_size=4, class_weights=weights
        )
        card = HEAD_BY_ID[head]
        ended = train(toy_backbone(), strategy, head=card, settings=settings, encoder=Alike())
        return float(ended.result.probabilities[:, 2].mean())

    assert last_class((0.05, 0.05, 2.9)) > last_class(None) + 0.01


def test_ridge_weights_its_classes_exactly() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 6, 4])
    features = generator.normal(size=(40, 5)) + generator.normal(size=(3, 5))[labels]
    weights = np.array([0.4, 2.2, 3.3])
    layer = RidgeHead(5, 3)
    fit(layer, *map(torch.from_numpy, (features, labels)), torch.from_numpy(weights))
    path = ridge_path(features, labels, 3, weights)
    np.testing.assert_allclose(
        layer.weight.detach().numpy(), path.weights.T / path.temperature, rtol=1e-6
    )
    fit(layer, *map(torch.from_numpy, (features, labels)))
    plain = ridge_path(features, labels, 3)
    np.testing.assert_allclose(
        layer.weight.detach().numpy(), plain.weights.T / plain.temperature, rtol=1e-6
    )
    assert layer.weight.device == CPU
