"""Rules that the nouns keep, and the texts that say so."""

from __future__ import annotations

import dataclasses

import pytest

from automl_transfer.cards import BackboneCard, CostCard, HeadCard, StageCard, WeightsCard
from automl_transfer.configuration import Configuration
from automl_transfer.errors import AutomlTransferError, CardError, did_you_mean
from automl_transfer.jsonable import canonical, from_json, to_json
from automl_transfer.plan import FreezePlan, Phase
from automl_transfer.space import Choice, Float, Int, Space, When


def backbone(**changes):
    fields = {
        "id": "acme/net",
        "factory": "acme.net:build",
        "modality": "image",
        "family": "acme",
        "weights": WeightsCard(sources=("dir:/nowhere",)),
    }
    return BackboneCard(**{**fields, **changes})


def test_a_space_knows_its_defaults_and_what_is_wrong_with_a_point():
    space = Space(
        (
            Choice(name="norm", choices=("l2", "none"), default="l2"),
            Float(
                name="scale", low=1, high=9, default=3, when=When(parameter="norm", equals=("l2",))
            ),
        )
    )
    assert space.defaults() == {"norm": "l2", "scale": 3}
    assert space.problems({"norm": "l2", "scale": 9.0}) == []
    assert space.problems({"norm": "none"}) == []
    assert "'scale' is missing" in space.problems({"norm": "l2"})
    assert "does not hold" in space.problems({"norm": "none", "scale": 3.0})[0]
    assert "no parameter of this space" in space.problems({"norm": "none", "scal": 3.0})[0]
    assert "outside" in space.problems({"norm": "l2", "scale": 9.5})[0]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (
            lambda: Float(name="lr", low=1, high=1, default=1),
            r"`low < high` must hold .*'lr'.*low=1",
        ),
        (lambda: Float(name="lr", low=0, high=1, default=1, log=True), r"`low > 0` .*low=0"),
        (
            lambda: Int(name="k", low=1, high=3, default=4),
            r"default of parameter 'k' .*\[1, 3\].*4",
        ),
        (lambda: Choice(name="c", choices=(), default="a"), r"at least one, but got \(\)"),
        (lambda: Choice(name="c", choices=(1, 2), default=True), r"must be one of \(1, 2\)"),
        (lambda: Float(name="a/b", low=0, high=1, default=0), r"parameter name .* but got 'a/b'"),
        (
            lambda: Space((Int(name="k", low=1, high=3, default=1),) * 2),
            r"unique, but 'k' is twice",
        ),
        (lambda: backbone(id="has space"), r"must look like 'namespace/name'.*'has space'"),
        (lambda: backbone(factory="acme.net.build"), r"'package.module:function', but got"),
        (lambda: backbone(weights=WeightsCard(sources=())), r"at least one source"),
        (lambda: backbone(cost=CostCard(params=0)), r"must be positive, but got 0"),
        (
            lambda: backbone(stages=(StageCard(name="s", tensors=("(",)),)),
            r"must be regular expressions, but got '\('",
        ),
    ],
)
def test_a_card_that_breaks_a_rule_says_the_rule_and_the_value(make, rule):
    with pytest.raises(CardError, match=rule):
        make()


def test_a_parameter_may_only_depend_on_one_declared_before_it():
    late = Int(name="k", low=1, high=3, default=1, when=When(parameter="c", equals=("a",)))
    with pytest.raises(CardError, match="must be declared before it"):
        Space((late, Choice(name="c", choices=("a",), default="a")))


@pytest.mark.parametrize(
    ("phases", "rule"),
    [
        ((), "at least one phase"),
        ((Phase(name="p", share=0.4, trains={"s": 1.0}),), r"add up to 1, but got \[0.4\]"),
        ((Phase(name="p", share=-1.0, trains={"s": 1.0}),), "must not be negative"),
        (
            (Phase(name="p", share=0.5, trains={"s": 1.0}), Phase(name="q", share=0.5)),
            "exactly when it trains stages",
        ),
    ],
)
def test_a_plan_that_breaks_a_rule_says_so(phases, rule):
    with pytest.raises(CardError, match=rule):
        FreezePlan(phases=phases)


def test_only_a_plan_that_trains_stages_trains_the_backbone():
    assert not FreezePlan(phases=(Phase(name="head", share=0.0),)).trains_backbone
    assert FreezePlan(phases=(Phase(name="all", share=1.0, trains={"s": 1.0}),)).trains_backbone


def test_nouns_are_frozen_and_keyword_only():
    card = HeadCard(id="acme/head", factory="acme.head:build")
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.id = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        HeadCard("acme/head", "acme.head:build")  # type: ignore[misc]


def test_a_card_of_an_older_contract_is_still_read():
    """Fields are only added, with defaults: what an old version wrote has fewer of them."""
    old = {"id": "acme/head", "factory": "acme.head:build"}
    assert from_json(HeadCard, old) == HeadCard(id="acme/head", factory="acme.head:build")


def test_the_digest_of_a_card_changes_with_the_card_and_with_nothing_else():
    assert backbone().digest == backbone().digest
    assert backbone().digest != backbone(tags=("new",)).digest


def test_a_configuration_has_one_identity_whatever_the_order_of_its_parameters():
    first = Configuration(backbone="b", head="h", strategy="s", params={"x": 1, "y": 2.5})
    second = Configuration(backbone="b", head="h", strategy="s", params={"y": 2.5, "x": 1})
    assert first.digest == second.digest
    other = Configuration(backbone="b", head="h", strategy="s", params={"x": 1, "y": 2.6})
    assert first.digest != other.digest


def test_a_configuration_hands_each_member_its_own_parameters():
    configuration = Configuration(
        backbone="b",
        head="acme/mlp",
        strategy="s",
        params={"head/acme/mlp/hidden": 8, "head/acme/mlp2/hidden": 9, "strategy/s/lr": 0.1},
    )
    assert configuration.of("head", "acme/mlp") == {"hidden": 8}


def test_canonical_json_has_no_nan():
    assert canonical({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_whole_numbers_stay_whole_in_json():
    data = to_json(Choice(name="c", choices=(1, 1.0, "1", True), default=1.0))
    assert [type(value) for value in data["choices"]] == [int, float, str, bool]


def test_did_you_mean_is_silent_when_nothing_is_close():
    assert did_you_mean("liner", ["linear", "mlp"]) == " Did you mean 'linear'?"
    assert did_you_mean("zzz", ["linear", "mlp"]) == ""


def test_every_error_has_an_exit_code_a_shell_can_tell_apart():
    def all_of(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in all_of(child))]

    codes = {kind.__name__: kind.exit_code for kind in all_of(AutomlTransferError)}
    assert codes["UsageError"] == 2
    assert codes["PluginError"] == codes["CardError"] == 3
    assert codes["DataError"] == 4
    assert codes["EmptySpaceError"] == 5
    assert set(codes.values()) == {1, 2, 3, 4, 5}
