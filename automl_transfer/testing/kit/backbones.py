"""Checks of a built backbone, and of one that is trained for a few steps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automl_transfer.cards import BackboneCard
from automl_transfer.testing.kit.checking import Subject, check, require
from automl_transfer.testing.kit.inputs import CLASSES
from automl_transfer.testing.kit.training import BETTER, CPU, GUESS, link, loss_of, trained
from automl_transfer.training.model import TransferModel
from automl_transfer.training.model_file import load_state, save_model
from automl_transfer.training.stages import stages_of, tensor_names

CLOSE = 1e-4
"""Largest difference of features that count as equal, in units of the largest feature."""
COST = 0.02
"""Share by which declared and counted parameters may differ."""
OPERATIONS = 0.1
"""Share by which declared and counted multiplications may differ: counters do not agree on what
lies between the layers."""


@check("shape", "backbone")
def factory_returns_a_backbone(subject: Subject) -> None:
    """The factory returns what has a ``module``, ``stages`` and ``features``."""
    found = subject.build()
    missing = [name for name in ("module", "stages", "features") if not hasattr(found, name)]
    require(
        not missing and isinstance(found.module, nn.Module),
        f"What the factory of {subject.card.id!r} returns must have a module (torch.nn.Module),"
        f" stages and features(batch), but returned a {type(found).__name__}"
        + (f" without {', '.join(missing)}." if missing else " whose module is none."),
    )


@check("shape", "backbone")
def features_are_one_vector_a_sample(subject: Subject) -> None:
    """Features have the shape (n, d), are floating and finite."""
    found = _features(subject, _network(subject))
    count = len(subject.inputs.dataset.samples)
    require(
        isinstance(found, torch.Tensor) and found.dim() == 2 and len(found) == count,
        f"Features of {count} samples must have the shape ({count}, d), but those of "
        f"{subject.card.id!r} are {tuple(getattr(found, 'shape', ())) or type(found).__name__}: "
        "pool what the network returns.",
    )
    require(
        found.is_floating_point() and bool(torch.isfinite(found).all()),
        f"Features of {subject.card.id!r} must be finite floating-point numbers, but are "
        f"{found.dtype}, {int((~torch.isfinite(found.float())).sum())} of them not finite.",
    )


@check("shape", "backbone")
def declared_width_is_the_width(subject: Subject) -> None:
    """A declared pooled width is that of the features."""
    card = subject.card
    assert isinstance(card, BackboneCard)
    if card.features.width is None:
        return
    features = _features(subject, _network(subject))
    if features.dim() != 2:
        return  # another check's: a map has no pooled width yet
    found = features.shape[1]
    require(
        found == card.features.width,
        f"FeatureCard.width of {card.id!r} must be the width of its features, {found}, but is "
        f"{card.features.width}.",
    )


@check("shape", "backbone")
def declared_cost_is_the_cost(subject: Subject) -> None:
    """A declared number of parameters is what is counted."""
    card = subject.card
    assert isinstance(card, BackboneCard)
    if card.cost is None:
        return
    found = sum(tensor.numel() for tensor in _network(subject).module.parameters())
    require(
        abs(found - card.cost.params) <= COST * found,
        f"CostCard.params of {card.id!r} must be what is counted, {found:,}, but is "
        f"{card.cost.params:,}: --max-params and the order of the search go by it.",
    )


@check("shape", "backbone")
def declared_operations_are_the_operations(subject: Subject) -> None:
    """A declared number of multiplications is what is counted, where it can be counted.

    On the meta device, which computes nothing; a network that looks at values on its way cannot be
    there, and on a CPU the counter does not see into fused kernels.
    """
    card = subject.card
    assert isinstance(card, BackboneCard)
    if card.cost is None or card.cost.gmacs is None:
        return
    found = _gmacs(subject)
    require(
        not found or abs(found - card.cost.gmacs) <= OPERATIONS * found,
        f"CostCard.gmacs of {card.id!r} must be what is counted for one sample, {found:.4g} "
        f"billion multiplications with addition, but is {card.cost.gmacs:.4g}: the order of the "
        "search goes by it.",
    )


@check("shape", "backbone")
def extreme_samples_have_features(subject: Subject) -> None:
    """Features are finite for the emptiest and the fullest sample, in training mode as well."""
    network = _network(subject)
    seen = np.stack(subject.inputs.rows.rows(np.arange(len(subject.inputs.dataset.samples))))
    # Bytes are intensities, and go from 0 to 255; of other numbers nobody says how far they go.
    ends = (0, 255) if seen.dtype == np.uint8 else (seen.min(), seen.max())
    batch = subject.inputs.encoder.batch([np.full_like(seen[0], end) for end in ends])
    for train in (False, True):
        network.module.train(train)
        with torch.inference_mode():
            found = network.features(batch)
        require(
            bool(torch.isfinite(found).all()),
            f"Features of {subject.card.id!r} must be finite for samples that are {ends[0]:.4g} "
            f"or {ends[1]:.4g} all over, but are not in {'training' if train else 'eval'} mode: "
            "nothing may be divided by a deviation of zero.",
        )


@check("shape", "backbone")
def stages_partition_the_network(subject: Subject) -> None:
    """Every parameter and buffer is in exactly one stage, and there are two stages at least."""
    card = subject.card
    assert isinstance(card, BackboneCard)
    stages = stages_of(_network(subject), card)
    require(
        len(stages) > 1,
        f"The network of {card.id!r} must have two stages at least, so that one of them can "
        f"train, but has {len(stages)}.",
    )


@check("shape", "backbone")
def a_seed_decides_random_weights(subject: Subject) -> None:
    """Built without weights, one seed gives one network, and another seed another."""
    one, same, other = (
        _state(subject.build(seed=seed, weights=False).module) for seed in (1, 1, 2)
    )
    differing = [name for name, tensor in one.items() if not torch.equal(tensor, same[name])]
    require(
        not differing,
        f"Built twice with one seed, {subject.card.id!r} must have the same tensors, but "
        f"{len(differing)} differ, among them {', '.join(differing[:3])}: draw them inside "
        "torch.random.fork_rng() after torch.manual_seed(seed).",
    )
    require(
        any(not torch.equal(tensor, other[name]) for name, tensor in one.items()),
        f"Built with another seed, {subject.card.id!r} must have other random weights, but has "
        "the same: use the seed that the factory is given.",
    )


@check("shape", "backbone")
def building_leaves_the_generator_alone(subject: Subject) -> None:
    """Building a network does not move torch's global random state."""
    before = torch.random.get_rng_state()
    subject.build(weights=False)
    require(
        torch.equal(before, torch.random.get_rng_state()),
        f"Building {subject.card.id!r} must leave torch's global random state as it was, but "
        "moves it: build inside torch.random.fork_rng().",
    )


@check("shape", "backbone")
def samples_do_not_touch_each_other(subject: Subject) -> None:
    """In eval mode the features of a sample do not depend on the others of its batch."""
    network = _network(subject)
    whole = _features(subject, network)
    order = np.arange(len(whole))[::-1].copy()
    turned = _features(subject, network, order)
    alone = torch.cat([_features(subject, network, [place]) for place in (0, 1)])
    scale = float(whole.abs().max()) or 1.0
    worst = max(
        float((turned - whole[torch.from_numpy(order)]).abs().max()),
        float((alone - whole[:2]).abs().max()),
    )
    require(
        worst <= CLOSE * scale,
        f"In eval mode the features of a sample must not depend on its batch, but those of "
        f"{subject.card.id!r} differ by {worst / scale:.2g} of the largest one: nothing may be "
        "averaged over the batch.",
    )


@check("shape", "backbone")
def eval_mode_is_deterministic(subject: Subject) -> None:
    """In eval mode the same samples give the same features."""
    network = _network(subject)
    first, second = _features(subject, network), _features(subject, network)
    require(
        torch.equal(first, second),
        f"In eval mode {subject.card.id!r} must give the same features twice, but does not: what "
        "drops or draws must follow module.training.",
    )


@check("shape", "backbone")
def features_go_through_the_module(subject: Subject) -> None:
    """Gradients reach the first and the last stage: what trains is what is used."""
    network = _network(subject)
    card = subject.card
    assert isinstance(card, BackboneCard)
    stages = stages_of(network, card)
    network.module.requires_grad_(True)
    network.features(subject.inputs.batch()).square().sum().backward()
    parameters = dict(network.module.named_parameters())
    dead = [
        stage.name
        for stage in (stages[0], stages[-1])
        if not any(
            name in parameters and parameters[name].grad is not None for name in stage.tensors
        )
    ]
    require(
        not dead,
        f"features(batch) of {card.id!r} must go through its module, so that gradients reach all "
        f"stages, but none reach {', '.join(dead)}.",
    )


@check("train", "backbone")
def frozen_means_identical(subject: Subject) -> None:
    """Stages that a plan freezes are bit-identical after training, buffers too."""
    network = _network(subject)
    before = _state(network.module)
    card = subject.card
    assert isinstance(card, BackboneCard)
    stages = stages_of(network, card)
    result = trained(subject, network, "last-stages", steps=3)
    after = _state(result.model.network)
    held = {name for stage in stages[:-1] for name in stage.tensors}
    moved = [name for name in held if not torch.equal(before[name], after[name])]
    require(
        not moved,
        f"Frozen tensors of {card.id!r} must be bit-identical after training, but "
        f"{len(moved)} moved, among them {', '.join(sorted(moved)[:3])}: statistics must be "
        "buffers that follow eval mode.",
    )


@check("train", "backbone")
def a_model_survives_saving(subject: Subject) -> None:
    """Saved and loaded into a network that is built afresh, a model says the same."""
    network = _network(subject)
    width = _features(subject, network).shape[-1]
    torch.manual_seed(subject.seed)
    model = TransferModel(network, nn.Linear(width, CLASSES), width, link())
    again = TransferModel(
        subject.build(seed=subject.seed + 1, weights=False),
        nn.Linear(width, CLASSES),
        width,
        link(),
    )
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        path = Path(place) / "model.safetensors"
        save_model(path, model)
        load_state(path, again)
    for one in (model, again):
        one.eval()
    with torch.inference_mode():
        batch = subject.inputs.batch()
        first, second = model.predictions(batch), again.predictions(batch)
    require(
        torch.equal(first, second),
        f"A saved model of {subject.card.id!r} must say the same when it is loaded, but its "
        f"predictions differ by up to {float((first - second).abs().max()):.2g}: what decides "
        "them must be a parameter or a persistent buffer.",
    )


@check("train", "backbone")
def training_beats_a_guess(subject: Subject) -> None:
    """Thirty steps of training all stages do better on what is learnt from than a guess."""
    result = trained(subject, _network(subject), "full", steps=30)
    found, guess = loss_of(subject, result.model), GUESS
    require(
        found < BETTER * guess,
        f"Thirty steps on {len(subject.inputs.dataset.samples)} samples of {CLASSES} classes must "
        f"bring the loss of {subject.card.id!r} below {guess:.3f}, that of a guess, but it is "
        f"{found:.3f}: features must tell samples apart, and inputs be scaled as the weights "
        "expect.",
    )


def _gmacs(subject: Subject) -> float:
    """Billions of multiplications of a forward pass of one sample; 0 if they cannot be counted."""
    network, batch = _network(subject), _on_meta(subject.inputs.batch([0]))
    network.module.to("meta")
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.features(batch)
    except Exception:  # whatever a network does with values that are not there
        return 0.0
    return float(counter.get_total_flops()) / 2e9


def _on_meta(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {name: tensor.to("meta") for name, tensor in batch.items()}
    return batch.to("meta")


def _network(subject: Subject) -> Any:
    """A fresh network in eval mode."""
    network = subject.build()
    network.module.to(CPU).eval()
    return network


def _features(subject: Subject, network: Any, positions: Any = None) -> torch.Tensor:
    network.module.eval()
    with torch.inference_mode():
        found: torch.Tensor = network.features(subject.inputs.batch(positions))
    return found


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers, those that are not saved too."""
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    assert set(tensors) == set(tensor_names(module))
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
