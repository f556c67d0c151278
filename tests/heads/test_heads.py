"""Every head of the registry keeps the contract, at its defaults and at the ends of its space."""

from __future__ import annotations

import itertools

import pytest
import torch

from automl_transfer.cards import HeadCard
from automl_transfer.space import Choice, Space
from tests.training.workshop import HEADS, REGISTRY

WIDTH, CLASSES = 6, 3


def corners(card: HeadCard) -> list[dict]:
    """The defaults, and every combination of choices with all ranges at one end."""
    space = Space(card.space)
    choices = [param for param in card.space if isinstance(param, Choice)]
    found = [space.defaults()]
    for picked in itertools.product(*[param.choices for param in choices]):
        for end in ("low", "high"):
            values = dict(zip([param.name for param in choices], picked, strict=True))
            for param in card.space:
                if not isinstance(param, Choice) and (
                    param.when is None or param.when.holds(values)
                ):
                    values[param.name] = getattr(param, end)
            assert space.problems(values) == []
            found.append(values)
    return found


CASES = [
    pytest.param(card, params, id=f"{card.id}-{place}")
    for card in HEADS
    for place, params in enumerate(corners(card))
]


def build(card: HeadCard, params: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    return REGISTRY.load(card)(width=WIDTH, classes=CLASSES, params=params)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % CLASSES
    centres = 3 * torch.randn(CLASSES, WIDTH, generator=generator)
    return centres[labels] + torch.randn(30, WIDTH, generator=generator), labels


def test_the_four_heads_are_there() -> None:
    assert {card.id for card in HEADS} == {"linear", "mlp", "cosine", "prototype"}


@pytest.mark.parametrize(("card", "params"), CASES)
def test_a_head_maps_features_to_class_scores_and_learns(card: HeadCard, params: dict) -> None:
    head = build(card, params)
    features, labels = data()
    features.requires_grad_()
    scores = head(features)
    assert scores.shape == (30, CLASSES)
    assert torch.isfinite(scores).all()
    torch.nn.functional.cross_entropy(scores, labels).backward()
    parameters = list(head.parameters())
    assert parameters
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters)
    assert any(p.grad.abs().sum() > 0 for p in parameters)
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(("card", "params"), CASES)
def test_a_head_has_one_state_a_seed(card: HeadCard, params: dict) -> None:
    first, second = build(card, params), build(card, params)
    assert all(
        torch.equal(tensor, second.state_dict()[name])
        for name, tensor in first.state_dict().items()
    )


@pytest.mark.parametrize(("card", "params"), CASES)
def test_a_fitted_head_already_knows_the_classes(card: HeadCard, params: dict) -> None:
    head = build(card, params)
    assert hasattr(head, "fit") or not card.closed_form
    if not hasattr(head, "fit"):
        return
    features, labels = data()
    with torch.no_grad():
        head.fit(features, labels)
    accuracy = (head(features).argmax(dim=1) == labels).float().mean()
    assert accuracy > 0.9


@pytest.mark.parametrize(("card", "params"), CASES)
def test_a_class_without_samples_breaks_nothing(card: HeadCard, params: dict) -> None:
    head = build(card, params)
    features, labels = data()
    here = labels != 1
    with torch.no_grad():
        if hasattr(head, "fit"):
            head.fit(features[here], labels[here])
    scores = head(features)
    torch.nn.functional.cross_entropy(scores, labels).backward()
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_a_sample_upon_its_own_prototype_has_a_finite_gradient() -> None:
    card = next(card for card in HEADS if card.id == "prototype")
    head = build(card, {"distance": "euclidean"})
    features = torch.eye(CLASSES, WIDTH)
    labels = torch.arange(CLASSES)
    with torch.no_grad():
        head.fit(features, labels)
    torch.nn.functional.cross_entropy(head(features), labels).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_the_linear_head_starts_without_a_preference() -> None:
    card = next(card for card in HEADS if card.id == "linear")
    assert not build(card, Space(card.space).defaults())(data()[0]).any()


def test_length_does_not_count_for_the_cosine_head() -> None:
    card = next(card for card in HEADS if card.id == "cosine")
    head = build(card, Space(card.space).defaults())
    features, _ = data()
    torch.testing.assert_close(head(features), head(7 * features))
