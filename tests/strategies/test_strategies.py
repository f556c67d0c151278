"""Every strategy of the registry keeps the contract, for networks of any depth."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from automl_transfer import builtin
from automl_transfer.cards import StrategyCard
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.plan import FreezePlan, StageView
from automl_transfer.plugins import load_registry
from automl_transfer.space import Choice, Space

CARDS = list(builtin.automl_transfer_freeze_strategies())
BY_ID = {card.id: card for card in CARDS}
REGISTRY = load_registry(third_party=False)


def views(n: int) -> list[StageView]:
    return [
        StageView(name=f"s{place}", depth=place / max(1, n - 1), parameters=10 + place)
        for place in range(n)
    ]


def plan(id: str, n: int = 5, **changes) -> FreezePlan:
    params = Space(BY_ID[id].space).defaults() | changes
    return REGISTRY.load(BY_ID[id])(stages=views(n), params=params)


def points(card: StrategyCard) -> list[dict]:
    ends = [
        param.choices if isinstance(param, Choice) else (param.low, param.high)
        for param in card.space
    ]
    names = [param.name for param in card.space]
    corners = [dict(zip(names, values, strict=True)) for values in itertools.product(*ends)]
    return [Space(card.space).defaults(), *corners]


@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_plan_is_valid_and_pure(card: StrategyCard, n: int) -> None:
    make = REGISTRY.load(card)
    stages = views(n)
    names = {stage.name for stage in stages}
    for params in points(card):
        assert Space(card.space).problems(params) == []
        found = make(stages=stages, params=params)
        assert found == make(stages=tuple(stages), params=dict(params))
        assert from_json(FreezePlan, to_json(found)) == found
        assert found.trains_backbone == card.trains_backbone
        assert found.start == ("scratch" if card.baseline else "pretrained")
        for phase in found.phases:
            assert set(phase.trains) <= names
            assert all(0 < multiplier <= 1 for multiplier in phase.trains.values())
        if card.trains_backbone:
            assert found.lr == params["lr"]
            assert found.weight_decay == params.get("weight_decay", found.weight_decay)
            assert found.head_lr >= found.lr
    assert stages == views(n)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_all_but_the_baseline_start_from_a_probe_of_the_head(card: StrategyCard) -> None:
    first = plan(card.id).phases[0]
    assert (not first.trains) is (not card.baseline)


def test_partial_strategies_leave_a_stage_frozen_where_there_are_two() -> None:
    assert list(plan("last-stages", 5, k=3).phases[-1].trains) == ["s2", "s3", "s4"]
    assert list(plan("last-stages", 2, k=3).phases[-1].trains) == ["s1"]
    assert list(plan("last-stages", 1, k=3).phases[-1].trains) == ["s0"]
    assert list(plan("first-stages", 5, k=2).phases[-1].trains) == ["s0", "s1"]
    assert list(plan("first-stages", 2, k=2).phases[-1].trains) == ["s0"]


def test_the_earlier_a_stage_the_slower_it_trains() -> None:
    multipliers = list(plan("full", 5, decay=0.65).phases[-1].trains.values())
    assert multipliers == sorted(multipliers)
    assert len(set(multipliers)) == 5
    assert multipliers[-1] == 1.0
    assert set(plan("full", 5, decay=1.0).phases[-1].trains.values()) == {1.0}


def test_the_decay_is_about_the_same_over_a_deep_network_as_over_a_shallow_one() -> None:
    deep, shallow = (
        next(iter(plan("full", n, decay=0.65).phases[-1].trains.values())) for n in (30, 12)
    )
    assert deep == pytest.approx(shallow, rel=0.25)


def test_only_training_from_scratch_moves_the_statistics_of_norm_layers() -> None:
    moving = {card.id for card in CARDS if any(p.norm == "train" for p in plan(card.id).phases)}
    assert moving == {"scratch"}


def test_adapters_have_the_rank_that_was_asked_for() -> None:
    adapter = plan("lora", rank=4).phases[-1].adapter
    assert adapter is not None
    assert (adapter.rank, adapter.alpha) == (4, 8.0)
    assert plan("norm-bias").phases[-1].tensors == "norm-bias"


def test_members_are_listed_and_plans_made_without_any_heavy_library() -> None:
    code = """
import sys
from automl_transfer.heads import cosine, linear, mlp, prototype
from automl_transfer.rankers import knn
from automl_transfer.plan import StageView
from automl_transfer.space import Space
from automl_transfer.strategies import (
    first_stages, frozen, full, last_stages, lora, norm_bias, scratch)
stages = [StageView(name=str(place), depth=float(place), parameters=1) for place in (0, 1)]
for module in (first_stages, frozen, full, last_stages, lora, norm_bias, scratch):
    module.plan(stages=stages, params=Space(module.CARD.space).defaults())
print(sorted({"torch", "timm", "sklearn", "peft", "transformers"} & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
