"""What is written as JSON comes back equal, whatever is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.cards import (
    BackboneCard,
    CostCard,
    FeatureCard,
    HeadCard,
    ModalityCard,
    RankerCard,
    SampleDataCard,
    StageCard,
    StrategyCard,
    WeightsCard,
)
from automl_transfer.configuration import Configuration
from automl_transfer.jsonable import canonical, from_json, require_json, to_json
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome
from automl_transfer.plan import Adapter, FreezePlan, Phase
from automl_transfer.space import Choice, Float, Int, Space, When

settings.register_profile("suite", max_examples=40, deadline=None)
settings.load_profile("suite")

text = st.text(max_size=12)
word = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
ids = st.builds("{}/{}".format, word, word)
scalars = st.one_of(text, st.integers(-(2**60), 2**60), finite, st.booleans())
json_values = st.recursive(
    st.one_of(st.none(), scalars),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
mappings = st.dictionaries(text, json_values, max_size=3)


@st.composite
def params(draw, names=word):
    name = draw(names)
    when = draw(st.none() | st.just(When(parameter="first", equals=("a", 1, 2.5, True))))
    kind = draw(st.sampled_from([Float, Int, Choice]))
    if kind is Choice:
        choices = tuple(draw(st.lists(scalars, min_size=1, max_size=4, unique_by=repr)))
        return Choice(
            name=name, choices=choices, default=draw(st.sampled_from(choices)), when=when
        )
    low, high = sorted(draw(st.lists(st.integers(1, 999), min_size=2, max_size=2, unique=True)))
    log = draw(st.booleans())
    if kind is Int:
        return Int(name=name, low=low, high=high, default=low, log=log, when=when)
    return Float(name=name, low=low / 7, high=high / 7, default=high / 7, log=log, when=when)


@st.composite
def spaces(draw):
    first = Choice(name="first", choices=("a", "b"), default="a")
    names = word.filter(lambda name: name != "first")
    rest = draw(st.lists(params(names), max_size=3, unique_by=lambda param: param.name))
    return (first, *rest)


factories = st.just("acme.module:build")
weights = st.builds(
    WeightsCard,
    sources=st.lists(text, min_size=1, max_size=3).map(tuple),
    requires=st.none() | text,
    bytes=st.none() | st.integers(0),
    license=st.none() | text,
)
backbones = st.builds(
    BackboneCard,
    id=ids,
    factory=factories,
    modality=word,
    family=word,
    weights=weights,
    input=mappings,
    features=st.builds(FeatureCard, width=st.none() | st.integers(1, 9999)),
    stages=st.lists(
        st.builds(StageCard, name=word, tensors=st.lists(word, max_size=2).map(tuple)), max_size=3
    ).map(tuple),
    cost=st.none() | st.builds(CostCard, params=st.integers(1), gmacs=st.none() | finite),
    arguments=mappings,
    tags=st.lists(text, max_size=2).map(tuple),
)
cards = st.one_of(
    backbones,
    st.builds(HeadCard, id=ids, factory=factories, summary=text, space=spaces()),
    st.builds(StrategyCard, id=ids, factory=factories, space=spaces(), baseline=st.booleans()),
    st.builds(ModalityCard, id=ids, factory=factories, space=spaces()),
    st.builds(RankerCard, id=ids, factory=factories, summary=text),
    st.builds(SampleDataCard, id=ids, factory=factories, title=text, license=text),
)
configurations = st.builds(
    Configuration,
    backbone=ids,
    head=ids,
    strategy=ids,
    params=st.dictionaries(text, scalars, max_size=4),
)
outcomes = st.builds(
    Outcome,
    number=st.integers(0, 10**6),
    stage=st.sampled_from(["heads", "tune"]),
    configuration=configurations,
    state=st.sampled_from(["running", "finished", "pruned", "failed"]),
    reason=st.none() | text,
    value=st.none() | finite,
    metrics=st.dictionaries(text, finite, max_size=3),
    curve=st.lists(
        st.builds(CurvePoint, epoch=st.integers(0), value=finite, loss=finite, seconds=finite),
        max_size=3,
    ).map(tuple),
    proof=st.none()
    | st.builds(
        FreezeProof,
        trainable_parameters=st.integers(0),
        total_parameters=st.integers(0),
        frozen_tensors=st.integers(0),
    ),
    providers=st.dictionaries(text, text, max_size=2),
)
plans = st.builds(
    lambda trains, adapter, lr: FreezePlan(
        phases=(
            Phase(name="head", share=0.0),
            Phase(name="rest", share=1.0, trains=trains, adapter=adapter, norm="train"),
        ),
        lr=lr,
        start="scratch",
    ),
    st.dictionaries(word, finite, min_size=1, max_size=3),
    st.none() | st.builds(Adapter, rank=st.integers(1, 64), alpha=finite),
    finite,
)


def through_text(value):
    """As it is after it was written to a file and read again."""
    return from_json(type(value), json.loads(json.dumps(to_json(value), allow_nan=False)))


@given(cards)
def test_cards(card):
    assert through_text(card) == card


@given(configurations)
def test_configurations_keep_their_identity(configuration):
    back = through_text(configuration)
    assert back == configuration
    assert back.digest == configuration.digest
    assert {name: type(value) for name, value in back.params.items()} == {
        name: type(value) for name, value in configuration.params.items()
    }


@given(outcomes)
def test_outcomes(outcome):
    assert through_text(outcome) == outcome


@given(plans)
def test_plans(plan):
    assert through_text(plan) == plan


@given(spaces())
def test_the_defaults_of_a_space_are_a_point_of_it(declared):
    space = through_text(Space(declared))
    assert space == Space(declared)
    assert space.problems(space.defaults()) == []


@given(json_values)
def test_the_canonical_text_is_a_fixed_point(value):
    assert canonical(json.loads(canonical(value))) == canonical(value)


@dataclass(frozen=True, slots=True)
class _Slotted:
    size: int


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, "x", None, True]}, MappingProxyType({"a": (1,)}), _Slotted(size=1)],
    ids=repr,
)
def test_what_json_can_hold_is_let_in(value) -> None:
    require_json(value)


@pytest.mark.parametrize(
    "value",
    [{1, 2}, Path("x"), b"x", _Slotted, _Slotted(size={1}), float("nan"), {"a": float("inf")}],
    ids=repr,
)
def test_what_json_cannot_hold_is_refused(value) -> None:
    with pytest.raises((TypeError, ValueError)):
        require_json(value)
