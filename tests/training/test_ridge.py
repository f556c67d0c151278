from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.training import ridge
from automl_transfer.training.ridge import ridge_path


def data(n: int, width: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = generator.normal(size=(classes, width))
    return centres[labels] + 1.5 * generator.normal(size=(n, width)) + 3.0, labels


def fitted(x, y, classes, penalty, weights=None):
    """Ridge regression by its normal equations: a scorer of features."""
    weights = np.ones(len(y)) if weights is None else weights
    share = weights / weights.sum()
    mean, targets = share @ x, np.eye(classes)[y]
    prior = share @ targets
    scaled = (x - mean) * weights[:, None]
    matrix = scaled.T @ (x - mean) + penalty * np.eye(x.shape[1])
    coefficients = np.linalg.solve(matrix, scaled.T @ (targets - prior))
    return lambda new: (new - mean) @ coefficients + prior


def left_out(x, y, classes, penalty, weights=None) -> np.ndarray:
    """The scores of each sample by a fit without it."""
    found = []
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        scorer = fitted(
            x[rest], y[rest], classes, penalty, None if weights is None else weights[rest]
        )
        found.append(scorer(x[i]))
    return np.array(found)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def best_log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Lowest over the temperatures, each label given 1 / (n + 1) of doubt."""
    doubt = 1 / (len(y) + 1)
    target = (1 - doubt) * np.eye(scores.shape[1])[y] + doubt / scores.shape[1]
    sharps = 2.0 ** np.linspace(-1, 7, 400)
    return min(-(target * log_softmax(sharp * scores)).sum(axis=1).mean() for sharp in sharps)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (24, 60), (30, 30)])
def test_leaving_each_sample_out_agrees_with_fitting_without_it(n: int, width: int) -> None:
    x, y = data(n, width)
    path = ridge_path(x, y, 3)
    for place in (0, 8, 16, 24):
        scores = left_out(x, y, 3, path.lambdas[place])
        assert path.merit[place] == pytest.approx((scores.argmax(axis=1) == y).mean())
        assert path.loss[place] == pytest.approx(best_log_loss(scores, y), abs=2e-3)
    scores = left_out(x, y, 3, path.lambdas[path.chosen])
    expected = np.exp(log_softmax(scores / path.temperature))
    np.testing.assert_allclose(path.predictions, expected, atol=1e-6)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (24, 60)])
def test_the_exact_residuals_hold_to_a_millionth_at_every_penalty(
    n: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(n, width)
    for factor in 2.0 ** np.array([-22.0, -12.0, -4.0, 2.0]):
        monkeypatch.setattr(ridge, "LAMBDAS", np.array([factor]))
        path = ridge_path(x, y, 3)
        scores = left_out(x, y, 3, path.lambdas[0])
        # Differences of scores are what probabilities, being of single precision, still show.
        found = path.temperature * np.log(path.predictions.astype(float))
        found += (scores - found).mean(axis=1, keepdims=True)
        keep = path.predictions.min(axis=1) > 1e-12
        assert keep.mean() > 0.5
        np.testing.assert_allclose(found[keep], scores[keep], atol=2e-6)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (24, 60)])
def test_weights_and_intercept_are_those_of_the_normal_equations(n: int, width: int) -> None:
    x, y = data(n, width)
    path = ridge_path(x, y, 3)
    expected = fitted(x, y, 3, path.lambdas[path.chosen])(x)
    np.testing.assert_allclose(x @ path.weights + path.intercept, expected, atol=1e-5)


@pytest.mark.parametrize(("n", "width"), [(40, 6), (24, 60)])
def test_classes_may_weigh_differently(n: int, width: int) -> None:
    x, y = data(n, width)
    weights = np.array([0.2, 1.0, 3.0])
    path = ridge_path(x, y, 3, weights)
    each = weights[y] / weights[y].mean()
    penalty = path.lambdas[path.chosen]
    scores = left_out(x, y, 3, penalty, each)
    hits = scores.argmax(axis=1) == y
    assert path.merit[path.chosen] == pytest.approx(np.average(hits, weights=each))
    expected = np.exp(log_softmax(scores / path.temperature))
    np.testing.assert_allclose(path.predictions, expected, atol=1e-6)
    whole = fitted(x, y, 3, penalty, each)(x)
    np.testing.assert_allclose(x @ path.weights + path.intercept, whole, atol=1e-5)
    alike = ridge_path(x, y, 3, np.full(3, 7.0))
    np.testing.assert_allclose(alike.loss, ridge_path(x, y, 3).loss)


def test_blocks_and_single_precision_and_mapped_files_change_nothing(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(50, 8)
    whole = ridge_path(x.astype(np.float32), y, 3)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr("automl_transfer.training.spectrum.BLOCK", 7)
    monkeypatch.setattr(ridge, "BLOCK", 16)
    found = ridge_path(mapped, y, 3)
    np.testing.assert_allclose(found.predictions, whole.predictions, atol=1e-5)
    np.testing.assert_allclose(found.loss, whole.loss, rtol=1e-6)


def test_the_temperature_makes_the_log_loss_least() -> None:
    x, y = data(200, 5)
    path = ridge_path(x, y, 3)
    scores = np.log(path.predictions.astype(float)) * path.temperature
    assert path.loss[path.chosen] == pytest.approx(best_log_loss(scores, y), abs=1e-3)
    assert path.loss.argmin() == path.chosen


def test_classes_far_apart_do_not_ask_for_certainty() -> None:
    y = np.arange(60) % 3
    noise = np.random.default_rng(0).normal(size=(60, 3))
    path = ridge_path(np.eye(3)[y] + 1e-3 * noise, y, 3)
    assert path.merit[path.chosen] == 1.0
    assert path.temperature > 0.01
    assert path.predictions.max() < 1.0


@pytest.mark.parametrize("width", [4, 50])
def test_constant_features_leave_the_shares_of_the_classes(width: int) -> None:
    y = np.array([0] * 20 + [1] * 10)
    path = ridge_path(np.full((30, width), 2.5), y, 2)
    assert not path.weights.any()
    np.testing.assert_allclose(path.intercept, [2 / 3, 1 / 3], atol=1e-6)
    assert path.merit[path.chosen] == pytest.approx(2 / 3)
    assert np.isfinite(path.predictions).all()


@pytest.mark.parametrize("width", [3, 50])
def test_a_class_of_one_and_a_class_of_none(width: int) -> None:
    x, _ = data(21, width)
    y = np.array([0] * 10 + [1] * 10 + [2])
    path = ridge_path(x, y, 4)
    scores = left_out(x, y, 4, path.lambdas[path.chosen])
    expected = np.exp(log_softmax(scores / path.temperature))
    np.testing.assert_allclose(path.predictions, expected, atol=1e-6)
    assert np.isfinite(path.loss).all()
    assert np.abs(path.weights[:, 3]).max() < 1e-6


def test_a_single_sample_says_nothing_but_breaks_nothing() -> None:
    path = ridge_path(np.ones((1, 3)), np.zeros(1, np.int64), 2)
    assert np.isfinite(path.predictions).all()
    assert np.isfinite(path.loss).all()
