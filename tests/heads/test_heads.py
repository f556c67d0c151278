"""Every head of the registry keeps the contract, at its defaults and at the ends of its space."""

from __future__ import annotations

import inspect
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


def test_the_heads_are_there() -> None:
    names = {"linear", "mlp", "mlp-stages", "cosine", "prototype", "ridge", "ridge-stages"}
    assert {card.id for card in HEADS} == names


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


@pytest.mark.parametrize("card", HEADS, ids=lambda card: card.id)
def test_a_card_says_whether_the_formula_weighs_classes(card: HeadCard) -> None:
    method = getattr(build(card, Space(card.space).defaults()), "fit", None)
    takes = method is not None and "class_weights" in inspect.signature(method).parameters
    assert card.weighs_classes == takes


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


def card_of(id: str) -> HeadCard:
    return next(card for card in HEADS if card.id == id)


def left_out(scores_of, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The scores of each sample by the class means of all others."""
    found = []
    for i in range(len(labels)):
        rest = torch.arange(len(labels)) != i
        means = torch.stack([features[rest & (labels == k)].mean(dim=0) for k in range(CLASSES)])
        found.append(scores_of(features[i], means))
    return torch.stack(found)


@pytest.mark.parametrize("by_angle", [True, False])
def test_a_prototype_takes_the_measure_and_scale_that_suit_samples_left_out(
    by_angle: bool,
) -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(90) % CLASSES
    noise = torch.randn(90, WIDTH, generator=generator)
    if by_angle:  # lengths say nothing, and vary
        features = torch.eye(CLASSES, WIDTH)[labels] + 0.4 * noise
        features *= torch.exp(2 * torch.randn(90, 1, generator=generator))
    else:  # only lengths say something
        features = torch.ones(WIDTH) * labels[:, None] + noise
    head = build(card_of("prototype"), {})
    with torch.no_grad():
        head.fit(features, labels)
    assert bool(head.by_angle) is by_angle
    if by_angle:
        unit = torch.nn.functional.normalize(features, dim=1)
        scores = left_out(lambda x, m: torch.cosine_similarity(x, m, dim=1), unit, labels)
    else:
        scores = left_out(lambda x, m: -(x - m).square().sum(dim=1), features, labels)

    def log_loss(scale: float) -> float:
        return float(torch.nn.functional.cross_entropy(scale * scores, labels))

    assert log_loss(float(head.scale)) <= min(log_loss(2.0**e) for e in range(-6, 8)) + 2e-3


def test_a_prototype_keeps_what_it_has_chosen_in_its_state() -> None:
    features, labels = data()
    head, other = build(card_of("prototype"), {}), build(card_of("prototype"), {})
    with torch.no_grad():
        head.fit(10 * labels[:, None] + features, labels)
    assert not head.by_angle
    other.load_state_dict(head.state_dict())
    torch.testing.assert_close(other(features), head(features))


def test_a_sample_upon_its_own_prototype_has_a_finite_gradient() -> None:
    head = build(card_of("prototype"), {})
    features = torch.eye(CLASSES, WIDTH)
    labels = torch.arange(CLASSES)
    with torch.no_grad():
        head.fit(features, labels)
        for by_angle in (True, False):
            head.by_angle.fill_(by_angle)
            with torch.enable_grad():
                loss = torch.nn.functional.cross_entropy(head(features), labels)
            gradients = torch.autograd.grad(loss, list(head.parameters()))
            assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_ridge_head_says_how_sure_it_is_and_trains_on() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(600) % CLASSES
    features = torch.eye(CLASSES, WIDTH)[labels] + 0.6 * torch.randn(
        600, WIDTH, generator=generator
    )
    head = build(card_of("ridge"), {})
    with torch.no_grad():
        head.fit(features[:300], labels[:300])
        logits = head(features[300:])
    sure = logits.softmax(dim=1).max(dim=1).values
    hit = (logits.argmax(dim=1) == labels[300:]).float()
    assert abs(float(sure.mean() - hit.mean())) < 0.06
    at = {
        scale: float(torch.nn.functional.cross_entropy(scale * logits, labels[300:]))
        for scale in (0.25, 0.5, 1.0, 2.0, 4.0)
    }
    assert min(at, key=at.get) == 1.0
    assert all(parameter.requires_grad for parameter in head.parameters())


def test_the_linear_head_starts_without_a_preference() -> None:
    card = card_of("linear")
    assert not build(card, Space(card.space).defaults())(data()[0]).any()


def test_length_does_not_count_for_the_cosine_head() -> None:
    card = card_of("cosine")
    head = build(card, Space(card.space).defaults())
    features, _ = data()
    torch.testing.assert_close(head(features), head(7 * features))
