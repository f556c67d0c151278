"""Small data, small networks and one way to train them, for the tests beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from automl_transfer.cards import BackboneCard, HeadCard, StrategyCard, WeightsCard
from automl_transfer.contracts import Stage
from automl_transfer.dataset import Sample
from automl_transfer.jsonable import digest
from automl_transfer.plugins import load_registry
from automl_transfer.space import Space
from automl_transfer.target import Target
from automl_transfer.testing import toy
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.link import link_of
from automl_transfer.training.rows import RowStore
from automl_transfer.training.stages import stage_views, stages_of
from automl_transfer.training.trial import (
    EpochReport,
    Part,
    Settings,
    TrialResult,
    run_trial,
)

REGISTRY = load_registry(third_party=False)
HEADS = [entry.card for entry in REGISTRY.heads.values()]
STRATEGIES = [entry.card for entry in REGISTRY.strategies.values()]
CPU = torch.device("cpu")


class Arrays:
    """An encoder of arrays of any shape, made from the sample's number and label."""

    def __init__(self, shape: tuple[int, ...], noise: float = 0.0, digest: str = "arrays") -> None:
        self.shape = shape
        self.noise = noise
        self.digest = digest
        self.prepared: list[str] = []

    def prepare(self, sample: Sample) -> np.ndarray:
        self.prepared.append(sample.source)
        generator = np.random.default_rng(int(sample.source))
        centre = np.random.default_rng(1000 + sample.label).normal(size=self.shape)
        row: np.ndarray = (centre + 0.5 * generator.normal(size=self.shape)).astype(np.float32)
        return row

    def batch(
        self, rows: Sequence[np.ndarray], generator: torch.Generator | None = None
    ) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(rows))
        if generator is not None and self.noise:
            batch = batch + self.noise * torch.randn(batch.shape, generator=generator)
        return batch

    @property
    def views(self) -> int:
        return 0 if self.noise else 1

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.zeros(count, dtype=torch.int64)

    def view(self, rows: Sequence[np.ndarray], index: int) -> torch.Tensor:
        return self.batch(rows)


def samples(n: int, classes: int = 3) -> list[Sample]:
    return [Sample(id=digest(i, 32), source=str(i), label=i % classes) for i in range(n)]


def row_store(shape: tuple[int, ...] = (toy.WIDTH,), n: int = 12, **options: Any) -> RowStore:
    return RowStore(Arrays(shape, **options), samples(n))


def backbone(module: nn.Module, stages: tuple[Stage, ...] = ()) -> Any:
    return SimpleNamespace(module=module, stages=stages, features=lambda batch: module(batch))


def any_card(**changes: Any) -> BackboneCard:
    return BackboneCard(
        id="toy/any",
        factory="automl_transfer.testing.toy:build",
        modality="vectors",
        family="toy",
        weights=WeightsCard(sources=("dir:nowhere",)),
        **changes,
    )


def toy_backbone(seed: int = 0) -> Any:
    return toy.build(card=any_card(arguments={"width": 8}), weights=None, seed=seed)


@dataclass(kw_only=True)
class Followed:
    """A trial that has run to its end."""

    reports: list[EpochReport] = field(default_factory=list)
    result: TrialResult


def train(
    network: Any,
    strategy: StrategyCard,
    *,
    shape: tuple[int, ...] = (toy.WIDTH,),
    head: HeadCard = HEADS[0],
    params: dict[str, Any] | None = None,
    plan: Any = None,
    n: int = 12,
    noise: float = 0.0,
    encoder: Arrays | None = None,
    settings: Settings | None = None,
    features: np.ndarray | None = None,
    evaluate: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    activations: ActivationStore | None = None,
) -> Followed:
    """Trains on the first two thirds of ``n`` samples and reports on the rest."""
    stages = stages_of(network, any_card())
    if plan is None:
        values = Space(strategy.space).defaults() | (params or {})
        plan = REGISTRY.load(strategy)(stages=stage_views(network.module, stages), params=values)
    head_params = Space(head.space).defaults()
    rows = RowStore(encoder or Arrays(shape, noise), samples(n))
    labels = np.array([sample.label for sample in rows.samples])
    places = np.arange(n)
    cut = 2 * n // 3

    def part(chosen: np.ndarray) -> Part:
        kept = None if features is None else features[chosen]
        return Part(rows=rows, positions=chosen, targets=labels[chosen], features=kept)

    run = run_trial(
        backbone=network,
        stages=stages,
        plan=plan,
        head=lambda width: REGISTRY.load(head)(width=width, classes=3, params=head_params),
        head_lr=float(head_params.get("lr", 1e-2)),
        head_weight_decay=1e-4,
        closed_form=head.closed_form,
        link=link_of(Target(names=("a", "b", "c"))),
        train=part(places[:cut]),
        evaluate=part(places[cut:]) if evaluate else None,
        settings=settings or Settings(epochs=1, head_epochs=3, batch_size=4),
        device=CPU,
        should_stop=should_stop,
        activations=activations,
    )
    reports = []
    while True:
        try:
            reports.append(next(run))
        except StopIteration as stop:
            return Followed(reports=reports, result=stop.value)


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer, also of those that are not saved."""
    tensors = dict(module.named_parameters(remove_duplicate=False))
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
