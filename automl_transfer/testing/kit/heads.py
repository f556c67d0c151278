"""Checks of a head: built for all corners of its space, fitted, trained, saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from automl_transfer.cards import HeadCard
from automl_transfer.space import Space
from automl_transfer.testing.kit.cards import points
from automl_transfer.testing.kit.checking import Subject, check, require
from automl_transfer.testing.kit.inputs import CLASSES
from automl_transfer.testing.kit.toys import toy_subject
from automl_transfer.testing.kit.training import BETTER, GUESS, loss_of, trained

WIDTH = 16
SAMPLES = 30


@check("shape", "head")
def scores_are_one_a_class(subject: Subject) -> None:
    """Built at each corner of its space, a head maps (n, d) features to (n, c) finite scores."""
    card = _card(subject)
    features, labels = _data()
    for params in points(Space(card.space)):
        for classes in (2, CLASSES):
            head = _built(subject, params, classes)
            require(
                isinstance(head, nn.Module),
                f"The factory of {card.id!r} must return a torch.nn.Module, but returned a "
                f"{type(head).__name__}.",
            )
            _fit(head, features, labels % classes)
            head.eval()
            with torch.inference_mode():
                scores = head(features)
            shape = tuple(getattr(scores, "shape", ()))
            require(
                shape == (SAMPLES, classes) and bool(torch.isfinite(scores).all()),
                f"Scores of {SAMPLES} samples and {classes} classes must be finite, of shape "
                f"({SAMPLES}, {classes}), but those of {card.id!r} with {params} are of shape "
                f"{shape}.",
            )


@check("shape", "head")
def a_seed_decides_a_head(subject: Subject) -> None:
    """A head's random weights follow torch's seed, and nothing else."""
    one, same = (_state(_built(subject, None, CLASSES)) for _ in range(2))
    differing = [name for name, tensor in one.items() if not torch.equal(tensor, same[name])]
    require(
        not differing,
        f"Built twice after one torch.manual_seed, {subject.card.id!r} must have the same tensors,"
        f" but {', '.join(differing[:3])} differ: draw with torch, from its global generator.",
    )


@check("shape", "head")
def closed_form_has_a_fit(subject: Subject) -> None:
    """What the card calls a closed form has a ``fit``, and it alone beats a guess."""
    card = _card(subject)
    if not card.closed_form:
        return
    head = _built(subject, None, CLASSES)
    require(
        callable(getattr(head, "fit", None)),
        f"{card.id!r} is declared closed_form, so it must have fit(features, labels), but has "
        "none.",
    )
    features, labels = _data()
    _fit(head, features, labels)
    head.eval()
    with torch.inference_mode():
        loss = float(nn.functional.cross_entropy(head(features), labels))
    require(
        loss < BETTER * GUESS,
        f"Fitted, {card.id!r} must do better than a guess (a loss of {GUESS:.3f}) on "
        f"what it has seen, but has {loss:.3f}.",
    )


@check("shape", "head")
def what_is_not_closed_form_has_gradients(subject: Subject) -> None:
    """A head that trains has parameters, and gradients reach them and the features."""
    card = _card(subject)
    if card.closed_form:
        return
    head = _built(subject, None, CLASSES)
    features, labels = _data()
    _fit(head, features, labels)
    features.requires_grad_(True)
    head.train()
    torch.autograd.backward(nn.functional.cross_entropy(head(features), labels))
    parameters = [tensor for tensor in head.parameters() if tensor.requires_grad]
    require(
        bool(parameters) and any(tensor.grad is not None for tensor in parameters),
        f"{card.id!r} is no closed form, so gradients must reach parameters of it: none do.",
    )
    require(
        features.grad is not None and bool(torch.isfinite(features.grad).all()),
        f"Gradients must go through {card.id!r} to the features, finite, for a backbone to train, "
        "but do not: it must not detach them.",
    )


@check("shape", "head")
def samples_do_not_touch_in_a_head(subject: Subject) -> None:
    """In eval mode the scores of a sample do not depend on the others of its batch."""
    head = _built(subject, None, CLASSES)
    features, labels = _data()
    _fit(head, features, labels)
    head.eval()
    with torch.inference_mode():
        whole, alone = head(features), torch.cat([head(row[None]) for row in features])
    worst = float((whole - alone).abs().max())
    require(
        worst <= 1e-4 * max(1.0, float(whole.abs().max())),
        f"In eval mode the scores of a sample must not depend on its batch, but those of "
        f"{subject.card.id!r} differ by {worst:.2g}.",
    )


@check("train", "head")
def a_head_survives_saving(subject: Subject) -> None:
    """A head that is built anew and given the saved tensors says the same."""
    features, labels = _data()
    head = _built(subject, None, CLASSES)
    _fit(head, features, labels)
    stored = safetensors.torch.save(
        {name: tensor.contiguous().clone() for name, tensor in head.state_dict().items()}
    )
    torch.manual_seed(subject.seed + 1)
    again = _build(subject, None, CLASSES)
    again.load_state_dict(safetensors.torch.load(stored))
    head.eval(), again.eval()
    with torch.inference_mode():
        same = torch.equal(head(features), again(features))
    require(
        same,
        f"{subject.card.id!r} must say the same when its tensors are loaded into a new one, but "
        "does not: what fit() finds must be parameters or persistent buffers, of one shape.",
    )


@check("train", "head")
def a_trained_head_beats_a_guess(subject: Subject) -> None:
    """Trained by the host on a frozen network, it does better than a guess."""
    toy = toy_subject(subject)
    result = trained(subject, toy.build(), "frozen", steps=1, backbone=toy, head=_card(subject))
    found, guess = loss_of(toy, result.model), GUESS
    require(
        found < BETTER * guess,
        f"Trained on {len(toy.inputs.dataset.samples)} samples, {subject.card.id!r} must bring "
        f"the loss below that of a guess ({guess:.3f}), but it is {found:.3f}.",
    )


def _card(subject: Subject) -> HeadCard:
    assert isinstance(subject.card, HeadCard)
    return subject.card


def _built(subject: Subject, params: Any, classes: int) -> Any:
    torch.manual_seed(subject.seed)
    return _build(subject, params, classes)


def _build(subject: Subject, params: Any, classes: int) -> Any:
    values = Space(_card(subject).space).defaults() if params is None else params
    return subject.factory(width=WIDTH, classes=classes, params=values)


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of unit size, shape (n, d), and labels, shape (n,)."""
    generator = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % CLASSES
    centres = generator.normal(size=(CLASSES, WIDTH))
    features = centres[labels] + 0.5 * generator.normal(size=(SAMPLES, WIDTH))
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def _fit(head: Any, features: torch.Tensor, labels: torch.Tensor) -> None:
    if hasattr(head, "fit"):
        with torch.no_grad():
            head.fit(features, labels)


def _state(head: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in head.state_dict().items()}
