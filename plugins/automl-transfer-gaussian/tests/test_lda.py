"""The conformance kit; scikit-learn says the same; and what few samples can do to a formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from automl_transfer_gaussian.discriminant import Discriminant, discriminant
from automl_transfer_gaussian.lda import LinearDiscriminant, build
from automl_transfer_gaussian.left_out import LeftOut, left_out
from automl_transfer_gaussian.moments import moments
from automl_transfer_gaussian.plugin import LDA
from automl_transfer_gaussian.sharpness import sharpness
from automl_transfer_gaussian.shrinkage import ODDS, shrinkage
from automl_transfer_gaussian.spectrum import spectrum
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from automl_transfer.space import Space
from automl_transfer.testing.suites import Conformance

POINTS = [
    {"shrinkage": "leave-one-out"},
    {"shrinkage": "ledoit-wolf"},
    {"shrinkage": "fixed", "amount": 0.01},
    {"shrinkage": "fixed", "amount": 1.0},
]
DEFAULTS = Space(LDA.space).defaults()


class TestLda(Conformance):
    id = "gaussian/lda"


def drawn(counts: list[int], width: int, seed: int = 0, apart: float = 1.0):
    """Features of classes with correlated noise, shape (n, d), and labels, shape (n,)."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = apart * generator.normal(size=(len(counts), width))
    noise = generator.normal(size=(len(labels), width)) @ generator.normal(size=(width, width))
    features = centres[labels] + noise / width**0.5
    return features.astype(np.float32), labels


def solved(features, labels, amount: float, weights=None) -> Discriminant:
    of = moments(features, labels, weights)
    return discriminant(spectrum(of), of.priors, amount)


def amount_of(features, labels, params) -> float:
    of = moments(features, labels)
    return shrinkage(of, spectrum(of), params)


def fitted(features, labels, classes=None, params=None, class_weights=None) -> LinearDiscriminant:
    torch.manual_seed(0)
    made = build(
        width=features.shape[1],
        classes=classes or int(labels.max()) + 1,
        params=params or DEFAULTS,
    )
    weights = None if class_weights is None else torch.tensor(class_weights)
    with torch.no_grad():
        made.fit(torch.from_numpy(features), torch.from_numpy(labels), class_weights=weights)
    return made.eval()


def scores(head, features):
    with torch.inference_mode():
        return head(torch.from_numpy(features)).numpy()


def accuracy(head, features, labels) -> float:
    return float((scores(head, features).argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("counts", [[8, 7, 6], [40, 90, 70]], ids=["few", "many"])
@pytest.mark.parametrize("params", POINTS, ids=lambda params: str(list(params.values())))
def test_scikit_learn_scores_the_same_with_the_same_shrinkage(counts, params) -> None:
    features, labels = drawn(counts, 30)
    amount = amount_of(features, labels, params)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=amount)
    theirs.fit(features.astype(np.float64), labels)
    found = solved(features, labels, amount)
    np.testing.assert_allclose(found.weights, theirs.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.intercept, theirs.intercept_, rtol=1e-6, atol=1e-6)
    ours = scores(fitted(features, labels, params=params), features)
    wanted = theirs.decision_function(features.astype(np.float64))
    factor = (ours * wanted).sum() / (wanted**2).sum()
    assert factor > 0
    np.testing.assert_allclose(ours, factor * wanted, atol=1e-4 * np.abs(ours).max())


def test_weights_of_classes_are_the_priors_of_scikit_learn() -> None:
    features, labels = drawn([30, 10, 5], 12)
    weights = np.array([0.5, 1.5, 3.0])
    shares = weights * np.bincount(labels)
    theirs = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage=0.2, priors=shares / shares.sum()
    ).fit(features.astype(np.float64), labels)
    found = solved(features, labels, 0.2, weights)
    np.testing.assert_allclose(found.weights, theirs.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.intercept, theirs.intercept_, rtol=1e-6, atol=1e-6)


def test_a_class_of_weight_two_is_as_if_its_samples_were_there_twice() -> None:
    features, labels = drawn([20, 8, 5], 6)
    twice = np.flatnonzero(labels == 2)
    params = {"shrinkage": "fixed", "amount": 0.1}
    one = solved(features, labels, 0.1, np.array([1.0, 1.0, 2.0]))
    other = solved(
        np.concatenate([features, features[twice]]), np.append(labels, labels[twice]), 0.1
    )
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9)
    np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-9)
    heavy = fitted(features, labels, params=params, class_weights=[1.0, 1.0, 50.0])
    plain = fitted(features, labels, params=params)
    chosen = [(scores(head, features).argmax(axis=1) == 2).sum() for head in (plain, heavy)]
    assert chosen[1] >= chosen[0]


@pytest.mark.parametrize("width", [5, 20], ids=["more samples", "more features"])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.4, 2.0])], ids=["alike", "weighted"])
def test_a_sample_left_out_by_the_formula_is_a_sample_left_out(width, weights) -> None:
    features, labels = drawn([9, 4, 1], width)
    of = moments(features, labels, weights)
    found = left_out(of, spectrum(of), 0.3)
    places = np.flatnonzero(labels != 2)
    assert list(found.labels) == list(labels[places])
    n = len(labels)
    even = np.square(of.residuals).sum() / (n * width)
    for row, place in enumerate(places):
        keep = np.arange(n) != place
        means = np.stack([features[keep & (labels == one)].mean(axis=0) for one in range(3)])
        each = of.weights[labels[keep]]
        residuals = features[keep] - means[labels[keep]]
        covariance = 0.7 / n * (residuals.T * each) @ residuals + 0.3 * even * np.eye(width)
        away = features[place] - means
        distances = (away * np.linalg.solve(covariance, away.T).T).sum(axis=1)
        wanted = np.log(of.weights * np.bincount(labels[keep])) - distances / 2
        np.testing.assert_allclose(found.scores[row], wanted, rtol=1e-5)


@pytest.mark.parametrize("params", POINTS, ids=lambda params: str(list(params.values())))
def test_few_samples_in_many_dimensions_with_features_that_do_not_vary(params) -> None:
    features, labels = drawn([16, 8, 6, 4, 3, 1], 1280, apart=1.5)
    features[:, ::3] = 7.0
    head = fitted(features, labels, params=params)
    assert head.weight.shape == (6, 1280)
    assert head.weight.dtype == torch.float32
    said = scores(head, features)
    assert np.isfinite(said).all()
    assert accuracy(head, features, labels) == 1.0
    again = fitted(features, labels, params=params)
    assert torch.equal(head.weight, again.weight)
    assert torch.equal(head.bias, again.bias)


def test_five_thousand_samples() -> None:
    features, labels = drawn([500] * 10, 256, apart=0.2)
    other = drawn([500] * 10, 256, seed=0, apart=0.2)[0][::2]
    head = fitted(features[1::2], labels[1::2])
    assert accuracy(head, other, labels[::2]) > 0.9


def test_more_samples_than_features_that_vary() -> None:
    features, labels = drawn([100, 100], 5)
    features = np.concatenate([features, np.zeros((200, 3), np.float32)], axis=1)
    for params in POINTS:
        said = scores(fitted(features, labels, params=params), features)
        assert np.isfinite(said).all()


def test_a_single_feature() -> None:
    features, labels = drawn([10, 10], 1, apart=20.0)
    for params in POINTS:
        assert accuracy(fitted(features, labels, params=params), features, labels) > 0.9


def test_one_sample_a_class_is_the_nearest_mean() -> None:
    features, labels = drawn([1] * 5, 10)
    for params in POINTS:
        assert accuracy(fitted(features, labels, params=params), features, labels) == 1.0


def test_a_class_without_samples_is_never_chosen() -> None:
    features, labels = drawn([6, 6, 6], 10, apart=0.1)
    labels = np.where(labels == 2, 4, labels)
    head = fitted(features, labels, classes=6)
    said = scores(head, 3 * features)
    assert np.isfinite(said).all()
    assert set(said.argmax(axis=1)) <= {0, 1, 4}


@pytest.mark.parametrize("kept", ["one class", "one sample", "all alike"])
def test_nothing_to_tell_apart(kept: str) -> None:
    features, labels = drawn([4, 4], 6)
    if kept == "one class":
        labels = np.zeros_like(labels)
    elif kept == "one sample":
        features, labels = features[:1], labels[:1]
    else:
        features = np.ones_like(features)
    for params in POINTS:
        said = scores(fitted(features, labels, classes=2, params=params), features)
        assert np.isfinite(said).all()
        if kept != "all alike":
            assert set(said.argmax(axis=1)) == {labels[0]}


def test_leave_one_out_takes_the_shrinkage_that_is_best_for_what_it_has_not_seen() -> None:
    features, labels = drawn([100] * 4, 60, apart=0.3)
    learn, new = slice(0, 60), slice(60, None)
    truth = torch.from_numpy(labels[new])

    def loss(params: dict) -> float:
        said = torch.from_numpy(
            scores(fitted(features[learn], labels[learn], 4, params), features[new])
        )
        return float(torch.nn.functional.cross_entropy(said, truth))

    amounts = [float(odds / (1 + odds)) for odds in ODDS]
    losses = [loss({"shrinkage": "fixed", "amount": amount}) for amount in amounts]
    chosen = loss({"shrinkage": "leave-one-out"})
    assert chosen in losses
    assert chosen < min(losses) + 0.1
    assert chosen < max(losses) - 0.2


def test_probabilities_of_new_samples_are_as_sure_as_they_are_right() -> None:
    features, labels = drawn([200] * 4, 300, apart=0.25)
    learn, new = slice(0, 80), slice(80, None)
    found = solved(
        features[learn], labels[learn], amount_of(features[learn], labels[learn], DEFAULTS)
    )
    raw = torch.from_numpy(features[new] @ found.weights.T + found.intercept)
    head = fitted(features[learn], labels[learn])
    calibrated = torch.from_numpy(scores(head, features[new]))
    truth = torch.from_numpy(labels[new])
    loss = torch.nn.functional.cross_entropy
    best = min(float(loss(raw * 2.0**power, truth)) for power in np.arange(-12, 4, 0.25))
    assert float(loss(calibrated, truth)) < best + 0.05
    assert float(loss(calibrated, truth)) < float(loss(raw, truth))


def test_scores_without_a_mistake_do_not_ask_for_an_infinite_factor() -> None:
    of = LeftOut(
        scores=np.array([[1.0, 0.0], [0.0, 1.0]] * 10),
        labels=np.array([0, 1] * 10),
        weights=np.ones(20),
    )
    factor, loss = sharpness(of)
    assert 1 < factor < 20
    assert 0 < loss < np.log(2)
    none = LeftOut(scores=of.scores[:0], labels=of.labels[:0], weights=of.weights[:0])
    assert sharpness(none) == (1.0, 0.0)


def test_it_may_be_trained_further() -> None:
    features, labels = drawn([10, 10, 10], 8, apart=0.5)
    head = fitted(features, labels).train()
    loss = torch.nn.functional.cross_entropy(
        head(torch.from_numpy(features)), torch.from_numpy(labels)
    )
    loss.backward()
    assert all(float(tensor.grad.abs().sum()) > 0 for tensor in head.parameters())
