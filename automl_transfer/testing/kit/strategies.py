"""Checks of a freeze strategy: its plans for networks of any depth, and that they hold."""

from __future__ import annotations

import subprocess
import sys

from automl_transfer.cards import StrategyCard
from automl_transfer.plan import FreezePlan, StageView
from automl_transfer.space import Space
from automl_transfer.testing.kit.cards import points
from automl_transfer.testing.kit.checking import Subject, check, require

DEPTHS = (1, 2, 3, 8, 24)
"""Stages of networks for which plans are made."""


@check("shape", "strategy")
def plans_name_stages_that_are_there(subject: Subject) -> None:
    """For networks of any depth and each corner of its space, a plan names their stages only."""
    for count, params, made in _plans(subject):
        known = {view.name for view in _views(count)}
        unknown = sorted({name for phase in made.phases for name in phase.trains} - known)
        require(
            not unknown,
            f"A plan must name stages of the network, but that of {subject.card.id!r} for {count} "
            f"stages with {params} names {', '.join(unknown[:3])}.",
        )


@check("shape", "strategy")
def a_plan_trains_what_the_card_says(subject: Subject) -> None:
    """``trains_backbone`` of the card is what its plans do."""
    card = subject.card
    assert isinstance(card, StrategyCard)
    for count, params, made in _plans(subject):
        require(
            made.trains_backbone == card.trains_backbone,
            f"StrategyCard.trains_backbone of {card.id!r} is {card.trains_backbone}, but its plan "
            f"for {count} stages with {params} "
            + ("trains some" if made.trains_backbone else "trains none")
            + ": the host decides by it whether features can be computed once.",
        )


@check("shape", "strategy")
def a_plan_is_pure(subject: Subject) -> None:
    """The same stages and parameters give the same plan."""
    first, second = ([made for _, _, made in _plans(subject)] for _ in range(2))
    require(
        first == second,
        f"{subject.card.id!r} must give the same plan for the same stages and parameters, but "
        "does not: a plan is a pure function of them.",
    )


@check("shape", "strategy")
def planning_needs_no_torch(subject: Subject) -> None:
    """The module of a strategy's factory does not import torch."""
    module = subject.card.factory.partition(":")[0]
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return  # made up by a test: it cannot be imported by name
    require(
        done.stdout.strip() == "False",
        f"Plans are made without torch, but {module!r}, the module of {subject.card.id!r}, "
        "imports it.",
    )


@check("train", "strategy")
def what_a_plan_freezes_stays(subject: Subject) -> None:
    """What its plans freeze is bit-identical after training, and what they train moves."""
    import torch

    from automl_transfer.testing.kit.toys import toy_subject
    from automl_transfer.testing.kit.training import trained
    from automl_transfer.training.freeze import AppliedPhase
    from automl_transfer.training.stages import stage_views, stages_of

    card = subject.card
    assert isinstance(card, StrategyCard)
    toy = toy_subject(subject)
    for params in points(Space(card.space)):
        network = toy.build()
        stages = stages_of(network, toy.card)  # type: ignore[arg-type]
        made: FreezePlan = subject.factory(
            stages=stage_views(network.module, stages), params=params
        )
        frozen = set.intersection(
            *(set(AppliedPhase(network.module, stages, one).frozen) for one in made.phases)
        )
        before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
        result = trained(subject, network, card, steps=6, backbone=toy, params=params)
        after = result.model.network.state_dict()
        if made.start == "scratch":
            continue
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        wrong = sorted(frozen & set(moved))
        adapted = any(phase.adapter is not None for phase in made.phases)
        require(
            adapted or not wrong,
            f"{card.id!r} with {params} freezes {', '.join(wrong[:3])}, which moved.",
        )
        require(
            bool(moved) == card.trains_backbone,
            f"{card.id!r} with {params} must move "
            + ("something" if card.trains_backbone else "nothing")
            + f" of the network in training, but {len(moved)} tensors moved: is its learning rate "
            "above 0?",
        )


def _plans(subject: Subject) -> list[tuple[int, object, FreezePlan]]:
    card = subject.card
    assert isinstance(card, StrategyCard)
    found: list[tuple[int, object, FreezePlan]] = []
    for count in DEPTHS:
        for params in points(Space(card.space)):
            made = subject.factory(stages=_views(count), params=params)
            require(
                isinstance(made, FreezePlan),
                f"The factory of {card.id!r} must return a FreezePlan, but returned a "
                f"{type(made).__name__}.",
            )
            found.append((count, params, made))
    return found


def _views(count: int) -> tuple[StageView, ...]:
    return tuple(
        StageView(name=f"stage{place}", depth=place / max(1, count - 1), parameters=100 + place)
        for place in range(count)
    )
