"""What the registry offers, from plugins that keep the contract and from plugins that do not."""

from __future__ import annotations

import logging
import re
import sys
from types import SimpleNamespace

import pytest

from automl_transfer.cards import BackboneCard, HeadCard, ModalityCard, StrategyCard, WeightsCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import PluginError, UsageError, WeightsUnavailableError
from automl_transfer.events import Note
from automl_transfer.hookspecs import hookimpl
from automl_transfer.plugins import load_registry
from automl_transfer.target import Target
from automl_transfer.task import Task

TASK = Task(modality="image", target=Target(names=("a", "b")), metric="accuracy", metric_reason="")
WEIGHTS = WeightsCard(sources=("dir:/nowhere",))


def plugin(name="acme", version="1.2", **hooks):
    """A plugin object with the hooks ``heads=...``, ``backbones=...``: functions or values."""
    marked = {}
    for hook, answer in hooks.items():
        function = answer if callable(answer) else _returning(answer)
        marked[f"automl_transfer_{hook}"] = hookimpl(function)
    return SimpleNamespace(__name__=name, __version__=version, **marked)


def _returning(answer):
    def implementation():
        return answer

    return implementation


def registry_of(*plugins):
    return load_registry(extra=plugins, builtin=False, third_party=False)


def head(id="acme/head", factory="acme.head:build", **fields):
    return HeadCard(id=id, factory=factory, **fields)


def backbone(id="acme/net", **fields):
    fields = {"modality": "image", "family": "acme", "weights": WEIGHTS, **fields}
    return BackboneCard(id=id, factory="acme.net:build", **fields)


def only_row(registry):
    (row,) = registry.quarantined
    return row


# What is offered


def test_members_are_sorted_and_know_who_provides_them():
    registry = registry_of(
        plugin("zeta", "0.1", heads=[head("zeta/one")]),
        plugin("acme", heads=[head("acme/two"), head("acme/one")]),
    )
    assert list(registry.heads) == ["acme/one", "acme/two", "zeta/one"]
    assert registry.heads["zeta/one"].distribution == "zeta"
    assert registry.provider("heads", "acme/two") == "acme 1.2"
    assert registry.provider("head", "acme/two") == "acme 1.2"
    assert registry.head("acme/one") == head("acme/one")
    assert registry.quarantined == ()


def test_a_generator_is_a_list_of_cards_too():
    registry = registry_of(plugin(heads=lambda: (head(f"acme/{n}") for n in "ab")))
    assert list(registry.heads) == ["acme/a", "acme/b"]


def test_an_unknown_name_is_answered_with_the_closest_one():
    registry = registry_of(plugin(heads=[head("acme/linear"), head("acme/zz")]))
    with pytest.raises(UsageError, match=r"no head 'acme/liner'\. Did you mean 'acme/linear'"):
        registry.head("acme/liner")
    with pytest.raises(UsageError, match=r"no freeze strategy 'x'\. Known: none"):
        registry.strategy("x")


def test_the_digest_follows_cards_and_versions_but_not_the_order_of_plugins():
    one, two = plugin("one", heads=[head("one/h")]), plugin("two", heads=[head("two/h")])
    assert registry_of(one, two).digest == registry_of(two, one).digest
    assert registry_of(one).digest != registry_of(one, two).digest
    newer = plugin("one", "1.3", heads=[head("one/h")])
    assert registry_of(one).digest != registry_of(newer).digest


# Families of backbones


def test_a_backbone_of_a_family_is_resolved_once_and_remembered():
    asked = []

    def resolve(id):
        asked.append(id)
        return backbone(id) if id.startswith("acme/") else None

    registry = registry_of(plugin(resolve_backbone=resolve))
    assert registry.backbone("acme/net-7").id == "acme/net-7"
    assert registry.backbone("acme/net-7") is registry.backbone("acme/net-7")
    assert asked == ["acme/net-7"]
    assert registry.provider("backbones", "acme/net-7") == "acme 1.2"
    with pytest.raises(UsageError, match="no backbone 'other/net'.*'timm/resnet18"):
        registry.backbone("other/net")


@pytest.mark.parametrize("error", [UsageError, WeightsUnavailableError])
def test_a_plugin_that_says_why_not_is_quoted_and_not_set_aside(error):
    def resolve(id):
        raise error("acme has no net-9")

    registry = registry_of(plugin(resolve_backbone=resolve))
    with pytest.raises(error, match="acme has no net-9"):
        registry.backbone("acme/net-9")
    assert registry.quarantined == ()


def test_two_plugins_that_claim_a_name_are_both_named():
    registry = registry_of(
        plugin("one", "1", resolve_backbone=lambda id: backbone(id)),
        plugin("two", "2", resolve_backbone=lambda id: backbone(id)),
    )
    with pytest.raises(PluginError, match="'acme/x' is claimed by one 1 and two 2"):
        registry.backbone("acme/x")


def test_a_plugin_that_fails_to_resolve_does_not_hide_one_that_can(caplog):
    def broken(id):
        raise KeyError(id)

    registry = registry_of(
        plugin("one", "1", resolve_backbone=broken),
        plugin("two", "2", resolve_backbone=lambda id: backbone(id) if "two/" in id else None),
    )
    assert registry.backbone("two/net").id == "two/net"
    with pytest.raises(
        PluginError, match=r"'acme/net' cannot be used: plugin one \(one 1\).*KeyErr"
    ):
        registry.backbone("acme/net")


def test_names_of_our_families_are_not_asked_of_others():
    registry = registry_of(plugin(resolve_backbone=lambda id: backbone(id)))
    for name in ("timm/resnet18", "hf/x/y", "local:/tmp", "torchvision/x", "bare"):
        with pytest.raises(UsageError, match="There is no backbone"):
            registry.backbone(name)


def test_a_portfolio_is_gathered_by_modality_and_remembered():
    def portfolio(size, modality):
        return [backbone(f"acme/{size}"), backbone("acme/talk", modality="speech")]

    registry = registry_of(plugin(portfolio=portfolio))
    assert [card.id for card in registry.portfolio("tiny", "image")] == ["acme/tiny"]
    assert registry.backbone("acme/tiny").id == "acme/tiny"
    with pytest.raises(UsageError, match=r"tiny, small, base, large, but got 'smal'.*'small'"):
        registry.portfolio("smal", "image")


# Patterns


@pytest.fixture
def strategies():
    def card(id, **fields):
        return StrategyCard(id=id, factory="acme.s:plan", **fields)

    return registry_of(
        plugin(
            freeze_strategies=[
                card("acme/frozen"),
                card("acme/full"),
                card("acme/scratch", baseline=True),
            ]
        )
    )


def test_an_unknown_kind_or_member_is_said(strategies):
    with pytest.raises(UsageError, match="Did you mean 'acme/full'"):
        strategies.provider("strategies", "acme/ful")
    with pytest.raises(UsageError, match="kind of member is one of modalities, .*'nets'"):
        strategies.provider("nets", "acme/full")  # type: ignore[arg-type]


def test_a_short_name_of_a_family_is_the_same_member_as_the_full_one():
    registry = registry_of(plugin(resolve_backbone=lambda id: backbone(f"{id.split('.')[0]}.v1")))
    assert registry.backbone("acme/net") is registry.backbone("acme/net.v1")
    assert registry.provider("backbones", "acme/net") == "acme 1.2"


# What is set aside


def raising(*arguments):
    raise OSError("no such\n  disk \x1b[31mred")


def leaving():
    sys.exit(3)


@pytest.mark.parametrize(
    ("answer", "stage", "reason"),
    [
        (raising, "call", r"automl_transfer_heads: OSError: no such disk \?\[31mred"),
        (leaving, "call", r"SystemExit: 3"),
        (None, "card", r"must return a list of cards, but got None"),
        ("acme/head", "card", r"must return a list of cards, but got 'acme/head'"),
        (head(), "card", r"must return a list of cards, but got HeadCard"),
        ([{"id": "acme/head"}], "card", r"must return HeadCard objects, but got {'id'"),
        ([backbone()], "card", r"must return HeadCard objects, but got BackboneCard"),
        ([head("linear2")], "card", r"its own namespace, like 'acme/name', but got 'linear2'"),
        ([head("timm/linear")], "card", r"'timm/linear': ids without '/' .* are reserved"),
    ],
)
def test_a_broken_hook_costs_one_row_and_the_others_stay(answer, stage, reason):
    registry = registry_of(
        plugin("bad", "0.3", heads=answer, modalities=[ModalityCard(id="sound", factory="a:b")]),
        plugin("good", heads=[head("good/head")]),
    )
    row = only_row(registry)
    assert (row.distribution, row.version, row.plugin, row.stage) == ("bad", "0.3", "bad", stage)
    assert re.search(reason, row.reason)
    assert "AUTOML_TRANSFER_DISABLE_PLUGINS=bad" in row.hint
    assert list(registry.heads) == ["good/head"]
    assert list(registry.modalities) == ["sound"]
    (line,) = registry.warnings()
    assert "\n" not in line and line.startswith("Plugin bad (bad 0.3) is set aside")


def test_a_card_that_is_no_json_is_set_aside_alone():
    registry = registry_of(
        plugin(
            backbones=[backbone("acme/odd", input={"crop": float("nan")}), backbone("acme/fine")]
        )
    )
    assert list(registry.backbones) == ["acme/fine"]
    assert only_row(registry).ids == ("acme/odd",)
    with pytest.raises(PluginError, match="'acme/odd' cannot be used.*JSON values only"):
        registry.backbone("acme/odd")


def test_a_generator_that_breaks_off_gives_nothing():
    def heads():
        yield head()
        raise ValueError("half way")

    registry = registry_of(plugin(heads=heads))
    assert not registry.heads
    with pytest.raises(PluginError, match=r"The head 'acme/head' cannot be used: .*half way"):
        registry.head("acme/head")


def test_an_id_that_two_plugins_give_goes_to_neither():
    registry = registry_of(
        plugin("one", "1", heads=[head("shared/head"), head("one/head")]),
        plugin("two", "2", heads=[head("shared/head")]),
    )
    assert list(registry.heads) == ["one/head"]
    assert {row.distribution for row in registry.quarantined} == {"one", "two"}
    assert all("one 1 and two 2; neither is used" in row.reason for row in registry.quarantined)
    with pytest.raises(PluginError, match="'shared/head' is given 2 times"):
        registry.head("shared/head")


def test_one_line_a_plugin_whatever_the_number_of_its_troubles():
    registry = registry_of(plugin(heads=[1, 2], backbones=raising))
    assert len(registry.quarantined) == 3
    (line,) = registry.warnings()
    assert "(and 2 more)" in line


# Factories, answers, observers


def test_a_factory_is_imported_when_it_is_asked_for():
    registry = registry_of(plugin(heads=[head(factory="json:dumps")]))
    assert registry.load(registry.head("acme/head"))([1]) == "[1]"


@pytest.mark.parametrize(
    ("factory", "cause"),
    [
        ("acme_missing.head:build", "ModuleNotFoundError: No module named 'acme_missing'"),
        ("json:no_such_thing", "AttributeError: module 'json' has no attribute"),
        ("json:__name__", "it is not callable"),
    ],
)
def test_a_factory_that_cannot_be_imported_names_who_provides_it(factory, cause):
    registry = registry_of(plugin(heads=[head(factory=factory)]))
    with pytest.raises(PluginError, match=f"head 'acme/head', provided by acme 1.2, .*: {cause}"):
        registry.load(registry.head("acme/head"))


def test_a_factory_that_exits_at_import_is_an_error_and_no_exit(tmp_path, monkeypatch):
    (tmp_path / "acme_exits.py").write_text("raise SystemExit('bye')")
    monkeypatch.syspath_prepend(tmp_path)
    registry = registry_of(plugin(heads=[head(factory="acme_exits:build")]))
    with pytest.raises(PluginError, match="SystemExit: bye"):
        registry.load(registry.head("acme/head"))


def test_a_veto_has_a_reason_and_says_who_gave_it():
    def veto(backbone):
        return "too big" if backbone.id.endswith("huge") else None

    registry = registry_of(plugin("one", "1", veto=veto), plugin("two", veto=lambda task: None))
    assert registry.veto(backbone("acme/huge"), TASK) == "too big (one 1)"
    assert registry.veto(backbone("acme/small"), TASK) is None


@pytest.mark.parametrize("answer", [raising, lambda: True, lambda: "  "])
def test_a_veto_that_fails_is_no_veto(answer, caplog):
    registry = registry_of(plugin("bad", veto=answer), plugin("good", veto=lambda: "no licence"))
    assert registry.veto(backbone(), TASK) == "no licence (good 1.2)"
    assert only_row(registry).plugin == "bad"
    assert len(caplog.records) == 1
    registry.veto(backbone(), TASK)
    assert len(caplog.records) == 1


def test_weights_that_a_plugin_locates_must_exist(tmp_path, caplog):
    def answer(path):
        return lambda weights, offline: LocalWeights(path=path, source="dir:x", sha256="0")

    missing, there = tmp_path / "missing", tmp_path
    registry = registry_of(
        plugin("bad", locate_weights=answer(missing)), plugin("good", locate_weights=answer(there))
    )
    located = registry.locate_weights(WEIGHTS, offline=True)
    assert located is not None and located.path == there
    assert "LocalWeights that exist" in only_row(registry).reason
    assert registry_of().locate_weights(WEIGHTS, offline=True) is None


def test_an_observer_sees_every_event_and_a_broken_one_only_its_first(caplog):
    seen, fell = [], []

    def falls(event):
        fell.append(event)
        raise RuntimeError(f"cannot take {event.text}")

    registry = registry_of(
        plugin("bad", trial_event=falls),
        plugin("good", trial_event=lambda study, event: seen.append((study, event.text))),
    )
    with caplog.at_level(logging.WARNING):
        for text in ("one", "two"):
            registry.notify("s", Note(text=text))
    assert seen == [("s", "one"), ("s", "two")]
    assert len(fell) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Plugin bad (bad 1.2): automl_transfer_trial_event: RuntimeError: cannot take one"
    ]
    assert only_row(registry).plugin == "bad"
