"""From scores to predictions, and what is learned, for each kind of target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from automl_transfer.heads import linear, mlp
from automl_transfer.heads.ridge import build as build_ridge
from automl_transfer.kinds import Kind
from automl_transfer.target import Target, unit_of
from automl_transfer.training.frozen import seeded
from automl_transfer.training.head import fit, train_head
from automl_transfer.training.link import Link, link_of
from automl_transfer.training.packed import HeadRun, train_heads
from automl_transfer.training.ridge import ridge_path

CPU = torch.device("cpu")
KINDS: tuple[Kind, ...] = ("single-label", "multi-label", "regression")


def problem(kind: Kind, n: int = 90, width: int = 6, seed: int = 0):
    """Features and targets that a linear model explains in part, and their link."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, width)).astype(np.float32)
    scores = features @ generator.normal(size=(width, 3)) + generator.normal(size=(n, 3))
    if kind == "single-label":
        return features, scores.argmax(axis=1), link_of(Target(names=("a", "b", "c")))
    if kind == "multi-label":
        sets = (scores > 0.8).astype(np.uint8)
        return features, sets, link_of(Target(kind=kind, names=("a", "b", "c")))
    numbers = 1000 + 50 * scores[:, 0]
    mean, scale = unit_of(numbers)
    return features, numbers, link_of(Target(kind=kind, names=("y",), mean=mean, scale=scale))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_many_models_is_that_of_each(kind: Kind) -> None:
    _, targets, link = problem(kind)
    learned = link.learned(torch.from_numpy(targets))
    scores = torch.randn(len(targets), link.outputs, 4, generator=torch.Generator().manual_seed(1))
    smoothing = torch.tensor([0.0, 0.1, 0.2, 0.0])
    together = link.losses(scores, learned, class_weights=None, label_smoothing=smoothing)
    for model in range(4):
        alone = link.loss(scores[:, :, model], learned, label_smoothing=float(smoothing[model]))
        assert float(together[model]) == pytest.approx(float(alone), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_what_the_kind_says(kind: Kind) -> None:
    _, targets, link = problem(kind)
    found = link.predictions(torch.randn(7, link.outputs)).numpy()
    if kind == "regression":
        assert link.learned(torch.from_numpy(targets)).mean() == pytest.approx(0, abs=1e-5)
        assert link.learned(torch.from_numpy(targets)).std() == pytest.approx(1, abs=0.02)
        zero = link.predictions(torch.zeros(1, 1))
        assert float(zero) == pytest.approx(targets.mean(), rel=1e-6)
    else:
        assert ((found >= 0) & (found <= 1)).all()
        assert (kind == "single-label") == np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", [linear, mlp], ids=["linear", "mlp"])
def test_packed_heads_learn_as_alone(kind: Kind, head) -> None:
    features, targets, link = problem(kind)
    params = {name: value for name, value in _defaults(head).items() if name != "dropout"}
    params["dropout"] = 0.0

    def build(lr: float) -> torch.nn.Module:
        return seeded(
            lambda: head.build(width=features.shape[1], classes=link.outputs, params=params), 3
        )

    rates = (1e-3, 3e-2)
    runs = [HeadRun(build=lambda lr=lr: build(lr), lr=lr, weight_decay=1e-3) for lr in rates]
    steps = train_heads(
        runs=runs,
        features=features,
        targets=targets,
        evaluate_features=features,
        link=link,
        epochs=6,
        batch_size=32,
        seed=5,
        device=CPU,
        end_settled=False,
    )
    results = _ended(steps)
    learned = link.learned(torch.from_numpy(targets))
    for lr, result in zip(rates, results, strict=True):
        alone = build(lr)
        list(
            train_head(
                alone,
                list(alone.parameters()),
                torch.from_numpy(features),
                learned,
                link=link,
                epochs=6,
                batch_size=32,
                lr=lr,
                weight_decay=1e-3,
                label_smoothing=0.0,
                class_weights=None,
                seed=5,
                check_time=lambda: None,
            )
        )
        with torch.no_grad():
            expected = link.predictions(alone(torch.from_numpy(features)))
        np.testing.assert_allclose(result.probabilities, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", ["multi-label", "regression"])
def test_leaving_out_is_exact(kind: Kind) -> None:
    features, targets, link = problem(kind, n=25)
    path = ridge_path(features, targets, link.outputs)
    penalty = path.lambdas[path.chosen]
    wanted = targets.reshape(len(targets), -1).astype(float)
    for left in (0, 11, 24):
        others = np.delete(np.arange(25), left)
        # The path is of all samples centred; without one, the mean is another.
        x, y = features[others].astype(float), wanted[others]
        centre, level = x.mean(axis=0), y.mean(axis=0)
        scatter = (x - centre).T @ (x - centre) + penalty * np.eye(x.shape[1])
        weights = np.linalg.solve(scatter, (x - centre).T @ (y - level))
        score = (features[left] - centre) @ weights + level
        expected = score * path.slope + path.shift
        if kind == "multi-label":
            expected = 1 / (1 + np.exp(-expected))
        np.testing.assert_allclose(path.predictions[left], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["multi-label", "regression"])
def test_the_ridge_head_predicts_as_its_path(kind: Kind) -> None:
    features, targets, link = problem(kind)
    head = build_ridge(width=features.shape[1], classes=link.outputs, params={})
    learned = link.learned(torch.from_numpy(targets))
    assert fit(head, torch.from_numpy(features), learned)
    with torch.no_grad():
        found = link.predictions(head(torch.from_numpy(features))).numpy()
    path = ridge_path(features, targets, link.outputs)
    np.testing.assert_allclose(found, path.predicted(features), rtol=1e-3, atol=1e-4)
    assert path.merit[path.chosen] == pytest.approx(1 - path.loss.min())


def test_scores_of_labels_become_calibrated_probabilities() -> None:
    features, sets, link = problem("multi-label", n=1500)
    found = ridge_path(features, sets, link.outputs).predictions
    np.testing.assert_allclose(found.mean(axis=0), sets.mean(axis=0), atol=0.01)
    for label in range(link.outputs):
        sure = found[:, label] > 0.7
        assert sets[sure, label].mean() == pytest.approx(found[sure, label].mean(), abs=0.08)


@pytest.mark.parametrize("holds", [0, 1])
def test_a_label_of_all_or_no_samples_is_no_trouble(holds: int) -> None:
    features, sets, link = problem("multi-label", n=30)
    sets[:, 1] = holds
    path = ridge_path(features, sets, link.outputs)
    assert np.isfinite(path.predictions).all() and np.isfinite(path.loss).all()
    assert abs(float(path.predictions[:, 1].mean()) - holds) < 0.1


def _defaults(head) -> dict[str, float]:
    return {param.name: param.default for param in head.CARD.space}


def _ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_a_link_knows_its_outputs() -> None:
    link: Link = link_of(Target(kind="multi-label", names=("a", "b")))
    assert link.outputs == 2
