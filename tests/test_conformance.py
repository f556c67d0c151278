"""The conformance kit: what is right passes, and each check alone finds what it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest

from automl_transfer import hookimpl
from automl_transfer.cards import (
    BackboneCard,
    CostCard,
    FeatureCard,
    HeadCard,
    ModalityCard,
    RankerCard,
    StageCard,
    StrategyCard,
    WeightsCard,
)
from automl_transfer.cli import main
from automl_transfer.errors import PluginError, UsageError
from automl_transfer.plugins import load_registry
from automl_transfer.space import Float
from automl_transfer.testing.kit.checking import CHECKS, EXPECTED, Subject
from automl_transfer.testing.kit.members import subjects
from automl_transfer.testing.kit.running import checks_of, run_checks
from automl_transfer.testing.suites import Conformance
from automl_transfer.testing.toy import ToyPlugin, toy_plugin
from tests.broken_modalities import PicturesPlugin
from tests.installing import install

M, P, D = "tests.broken_members", "tests.broken_plans", "tests.broken_modalities"

NET = BackboneCard(
    id="acme/net",
    factory=f"{M}:good",
    modality="vectors",
    family="acme",
    weights=WeightsCard(sources=("dir:nowhere",), license="MIT"),
)
HEAD = HeadCard(
    id="acme/head",
    factory=f"{M}:good_head",
    space=(Float(name="lr", low=1e-3, high=0.1, default=0.05),),
)
PLAN = StrategyCard(id="acme/plan", factory=f"{P}:good")
RANK = RankerCard(id="acme/rank", factory=f"{M}:good_ranker")
DATA = ModalityCard(id="acme/pictures", factory=f"{D}:Pictures")


def subject(card: Any, **more: Any) -> Subject:
    plugins = [ToyPlugin([]), *([PicturesPlugin(card)] if isinstance(card, ModalityCard) else [])]
    return Subject(card=card, registry=load_registry(extra=plugins, third_party=False), **more)


def failing(looked_at: Subject, level: Any = "train") -> dict[str, str]:
    return {
        one.check.name: one.reason or "" for one in run_checks(looked_at, level) if not one.passed
    }


@pytest.mark.parametrize("card", [NET, HEAD, PLAN, RANK, DATA], ids=lambda card: card.id)
def test_what_is_right_passes_every_check(card) -> None:
    assert failing(subject(card)) == {}


def test_there_are_as_many_checks_as_are_expected() -> None:
    assert {kind: len(checks_of(kind)) for kind in EXPECTED} == dict(EXPECTED)


BROKEN = {
    "card_survives_json": replace(NET, arguments={"sizes": (1, 2)}),
    "licence_is_told": replace(
        NET, weights=WeightsCard(sources=("dir:nowhere",), license="apache2")
    ),
    "packaged_weights_are_there": replace(
        NET, weights=WeightsCard(sources=("package:tests/nothing.safetensors",), license="MIT")
    ),
    "factory_returns_a_backbone": replace(
        NET,
        factory=f"{M}:no_stages",
        stages=(
            StageCard(name="one", tensors=("first", "passes")),
            StageCard(name="two", tensors=("second",)),
        ),
    ),
    "features_are_one_vector_a_sample": replace(NET, factory=f"{M}:maps"),
    "declared_width_is_the_width": replace(NET, features=FeatureCard(width=99)),
    "declared_cost_is_the_cost": replace(NET, cost=CostCard(params=5)),
    "declared_operations_are_the_operations": replace(NET, cost=CostCard(params=144, gmacs=1.0)),
    "extreme_samples_have_features": replace(NET, factory=f"{M}:standardised"),
    "stages_partition_the_network": replace(NET, stages=(StageCard(name="all", tensors=(".*",)),)),
    "a_seed_decides_random_weights": replace(NET, factory=f"{M}:deaf_to_the_seed"),
    "building_leaves_the_generator_alone": replace(NET, factory=f"{M}:careless"),
    "samples_do_not_touch_each_other": replace(NET, factory=f"{M}:centred"),
    "eval_mode_is_deterministic": replace(NET, factory=f"{M}:noisy"),
    "features_go_through_the_module": replace(NET, factory=f"{M}:detached"),
    "frozen_means_identical": replace(NET, factory=f"{M}:counting"),
    "a_model_survives_saving": replace(NET, factory=f"{M}:forgetful"),
    "training_beats_a_guess": replace(NET, factory=f"{M}:constant"),
    "scores_are_one_a_class": replace(HEAD, factory=f"{M}:wide_head"),
    "a_seed_decides_a_head": replace(HEAD, factory=f"{M}:self_willed_head"),
    "closed_form_has_a_fit": replace(HEAD, closed_form=True),
    "what_is_not_closed_form_has_gradients": replace(HEAD, factory=f"{M}:detaching_head"),
    "samples_do_not_touch_in_a_head": replace(HEAD, factory=f"{M}:comparing_head"),
    "a_head_survives_saving": replace(HEAD, factory=f"{M}:forgetful_head"),
    "a_trained_head_beats_a_guess": replace(HEAD, factory=f"{M}:speechless_head"),
    "plans_name_stages_that_are_there": replace(PLAN, factory=f"{P}:imaginative"),
    "a_plan_trains_what_the_card_says": replace(PLAN, factory=f"{P}:idle"),
    "a_plan_is_pure": replace(PLAN, factory=f"{P}:fickle"),
    "planning_needs_no_torch": replace(PLAN, factory="tests.broken_heavy_plans:good"),
    "what_a_plan_freezes_stays": replace(PLAN, factory=f"{P}:asleep"),
    "a_score_is_a_finite_number": replace(RANK, factory=f"{M}:fastidious_ranker"),
    "a_ranker_is_deterministic": replace(RANK, factory=f"{M}:moody_ranker"),
    "a_ranker_changes_nothing": replace(RANK, factory=f"{M}:greedy_ranker"),
    "better_features_score_higher": replace(RANK, factory=f"{M}:contrary_ranker"),
    "its_data_are_recognised": replace(DATA, factory=f"{D}:Shy"),
    "what_is_foreign_is_left_to_others": replace(DATA, factory=f"{D}:Greedy"),
    "opening_gives_labelled_samples": replace(DATA, factory=f"{D}:Misnamed"),
    "ids_are_of_the_content": replace(DATA, factory=f"{D}:ByPlace"),
    "an_item_is_the_sample_that_it_was": replace(DATA, factory=f"{D}:Turned"),
    "what_cannot_be_opened_is_told": replace(DATA, factory=f"{D}:Silent"),
    "rows_can_be_stacked": replace(DATA, factory=f"{D}:Trembling"),
    "preparing_ahead_is_the_same": replace(DATA, factory=f"{D}:Hasty"),
    "the_plain_view_is_plain": replace(DATA, factory=f"{D}:Centring"),
    "a_generator_decides_the_training_view": replace(DATA, factory=f"{D}:SelfWilled"),
    "views_are_those_of_the_batch": replace(DATA, factory=f"{D}:Mixed"),
    "digests_tell_views_apart": replace(DATA, factory=f"{D}:Alike"),
    "raw_features_are_one_vector_a_sample": replace(DATA, factory=f"{D}:Precise"),
    "a_still_view_is_small": replace(DATA, factory=f"{D}:Wasteful"),
    "a_search_finds_an_answer": replace(DATA, factory=f"{D}:Impatient"),
}
ELSEWHERE = {"id_has_a_namespace", "listing_imports_nothing_heavy", "import_needs_no_network"}


def test_every_check_has_a_member_that_is_broken_for_it() -> None:
    assert {one.name for one in CHECKS} == BROKEN.keys() | ELSEWHERE


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_member_is_found_by_the_one_check_that_is_for_it(name: str) -> None:
    (level,) = {one.level for one in CHECKS if one.name == name}
    found = failing(subject(BROKEN[name]), level)
    assert list(found) == [name]
    assert BROKEN[name].id in found[name]


def test_a_bare_id_is_reserved() -> None:
    card = replace(RANK, id="rank")
    assert list(failing(subject(card, distribution="nobody"), "card")) == ["id_has_a_namespace"]


PACKAGE = """
    {first}
    from automl_transfer import hookimpl
    from automl_transfer.cards import HeadCard

    @hookimpl
    def automl_transfer_heads():
        return [HeadCard(id="{name}/head", factory="{name}:build")]

    def build(*, width, classes, params):
        import torch
        return torch.nn.Linear(width, classes)
"""


@pytest.mark.parametrize(
    ("first", "name"),
    [
        ("import torch", "listing_imports_nothing_heavy"),
        (
            "import socket\n"
            "    try:\n"
            "        socket.create_connection(('example.org', 80))\n"
            "    except OSError:\n"
            "        pass",
            "import_needs_no_network",
        ),
        ("", None),
    ],
)
def test_what_importing_a_plugin_does_is_seen_from_another_process(
    site,
    monkeypatch,
    first,
    name,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    monkeypatch.setattr("socket.create_connection", lambda *_: (_ for _ in ()).throw(OSError()))
    install(site, "acme", dedent(PACKAGE.format(first=first, name="acme")))
    (found,) = subjects(load_registry(), "acme")
    assert found.distribution == "acme"
    assert list(failing(found, "card")) == ([] if name is None else [name])


def test_a_failed_check_ends_with_the_code_of_plugins(site, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    install(site, "acme", dedent(PACKAGE.format(first="import torch", name="acme")))
    assert main(["plugins", "check", "acme/head", "--level", "shape", "--json"]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert not answer["passed"] and answer["level"] == "shape"
    (member,) = answer["members"]
    (failed,) = [one for one in member["checks"] if not one["passed"]]
    assert failed["name"] == "listing_imports_nothing_heavy"
    assert "Import them in the module of the factory" in failed["reason"]


def test_what_we_ship_is_checked_by_its_id(capsys) -> None:
    assert main(["plugins", "check", "ridge", "--level", "shape"]) == 0
    text = capsys.readouterr().out
    assert "head ridge" in text and "9 of 9 checks held" in " ".join(text.split())


def test_what_cannot_be_checked_is_said(capsys) -> None:
    assert main(["plugins", "check", "rigde"]) == 2
    assert "must be given the id of a backbone, head" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="plugins check must be given"):
        subjects(load_registry(third_party=False), "nobody/net")


def test_a_member_of_unknown_data_is_told_what_to_add() -> None:
    class Smells:
        @hookimpl
        def automl_transfer_modalities(self):
            return [ModalityCard(id="smells", factory="automl_transfer.testing.toy:modality")]

    registry = load_registry(extra=[Smells()], third_party=False)
    looked_at = Subject(card=replace(NET, modality="smells"), registry=registry)
    found = failing(looked_at, "shape")["features_are_one_vector_a_sample"]
    assert "sample data of it are needed" in found and "modality='smells'" in found


class TestNet(Conformance):
    id = "toy/net"
    plugin = ToyPlugin([replace(NET, id="toy/net")])


class TestNotYet(Conformance):
    id = "toy/net"
    plugin = ToyPlugin([replace(NET, id="toy/net", features=FeatureCard(width=99))])
    expected_failures = {"declared_width_is_the_width": "it is measured next week"}  # noqa: RUF012


@pytest.mark.parametrize("id", ["ridge", "linear", "mlp", "cosine", "prototype"])
def test_our_heads_pass(id: str) -> None:
    found = [one for one in subjects(load_registry(third_party=False), id) if one.kind == "head"]
    assert failing(found[0]) == {}


@pytest.mark.parametrize(
    "id", ["frozen", "last-stages", "first-stages", "full", "norm-bias", "lora", "scratch"]
)
def test_our_strategies_pass(id: str) -> None:
    (found,) = subjects(load_registry(third_party=False), id)
    assert failing(found) == {}


@pytest.mark.parametrize("id", ["ridge", "logme", "knn"])
def test_our_rankers_pass(id: str) -> None:
    found = [one for one in subjects(load_registry(third_party=False), id) if one.kind == "ranker"]
    assert failing(found[0]) == {}


def test_our_backbone_passes() -> None:
    (found,) = subjects(load_registry(third_party=False), "bundled/efficientnet_lite0@96")
    assert found.weights is not None
    assert failing(found) == {}


def test_a_modality_without_files_passes(tmp_path) -> None:
    registry = load_registry(extra=[toy_plugin(tmp_path)], third_party=False)
    (found,) = subjects(registry, "vectors")
    assert failing(found) == {}


def test_an_id_that_two_members_have_is_told() -> None:
    class TestRidge(Conformance):
        id = "ridge"

    with pytest.raises(PluginError, match="names a head and a ranker"):
        TestRidge.subject()


def test_our_modality_passes() -> None:
    (found,) = subjects(load_registry(third_party=False), "image")
    assert failing(found) == {}
