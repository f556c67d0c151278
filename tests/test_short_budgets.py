"""Searches by a clock of ours: it goes on when a network computes, as fast as we say."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from automl_transfer import budget as budget_module
from automl_transfer import searching
from automl_transfer.budget import Stopwatch, crowding
from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.events import BackboneExcluded, BackboneScreened, Event, Note, StageStarted
from automl_transfer.modalities.image import inspecting
from automl_transfer.plugins import load_registry
from automl_transfer.recommendation import Recommendation
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.stages import confirm, looks
from automl_transfer.stages.forecast import BACKWARD
from automl_transfer.testing import toy as toys
from tests.toy_search import ToySearch


class _Clock:
    """What networks are said to take; of real time a hundredth, which hardly counts."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.samples: Counter[str] = Counter()

    def monotonic(self) -> float:
        return 0.01 * MONOTONIC() + self.seconds

    def perf_counter(self) -> float:
        return 0.01 * PERF_COUNTER() + self.seconds


MONOTONIC, PERF_COUNTER = time.monotonic, time.perf_counter
CLOCK = _Clock()


class _Timed(toys.ToyBackbone):
    """Its blocks take a third of the time each; where they train, as long again for the rest."""

    def __init__(self, card: BackboneCard, module: Any) -> None:
        super().__init__(module)
        self._card = card
        for block in module:
            block.register_forward_hook(self._passed)

    def _passed(self, block: Any, arguments: Any, output: Any) -> None:
        if "forward" in vars(block):
            return  # what comes out of it is kept, and it is not gone through
        times = 1 + BACKWARD if output.requires_grad else 1.0
        CLOCK.seconds += len(output) * times * float(self._card.arguments["seconds"]) / 3

    def features(self, batch: Any) -> Any:
        CLOCK.samples[self._card.id] += len(batch)
        return super().features(batch)


def build(*, card: BackboneCard, weights: LocalWeights | None, seed: int) -> _Timed:
    """A toy network that takes ``seconds`` a sample, and ``to_build`` to be built."""
    CLOCK.seconds += float(card.arguments.get("to_build", 0.0))
    return _Timed(card, toys.build(card=card, weights=weights, seed=seed).module)


@pytest.fixture
def timed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToySearch]:
    # What real clocks have measured in other tests is not of this time.
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(searching, "Stopwatch", partial(Stopwatch, now=CLOCK.monotonic))
    monkeypatch.setattr(time, "monotonic", CLOCK.monotonic)
    monkeypatch.setattr(time, "perf_counter", CLOCK.perf_counter)
    monkeypatch.setattr(budget_module, "MOST_CROWDED", 1.0)
    CLOCK.seconds = 0.0
    CLOCK.samples.clear()
    toy = ToySearch(tmp_path)
    yield toy
    CLOCK.seconds = 0.0


def _search(
    toy: ToySearch, budget: float, samples: int, networks: dict[str, dict[str, float]], **more: Any
) -> tuple[list[Event], Recommendation]:
    toys.write_toy_data(toy.data, n=samples)
    cards = {card.id: card for card in toy.plugin.automl_transfer_backbones()}
    toy.plugin = toys.ToyPlugin(
        [
            replace(
                cards[f"toy/{name}"],
                factory=f"{__name__}:build",
                arguments={**cards[f"toy/{name}"].arguments, **times},
            )
            for name, times in networks.items()
        ]
    )
    request = toy.request(trials=None, epochs=None, budget_seconds=budget, **more)
    events = toy.run(request)
    answer = toy.study().recommendation
    assert answer is not None and toy.study().status["state"] == "finished"
    return events, answer


def _used(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note) if "are used" in event.text]


def test_where_no_backbone_gets_through_the_data_as_much_is_used_as_there_is_time_for(
    timed: ToySearch,
) -> None:
    events, answer = _search(timed, 500.0, 1200, {"small": {"seconds": 1.0}})
    assert "of 960 development samples" in _used(events)[0]
    looked = [event.samples for event in events if isinstance(event, BackboneScreened)]
    assert 240 < looked[-1] < 500
    assert answer.test.samples < 240
    assert 0.85 * 500 <= timed.study().status["spent"] <= 1.05 * 500


def test_without_a_test_part_too_as_much_is_used_as_there_is_time_for(timed: ToySearch) -> None:
    networks = {"small": {"seconds": 5.0}}
    events, answer = _search(timed, 500.0, 300, networks, hold_out="no")
    assert "of 300 development samples are used" in _used(events)[0]
    assert "test" not in _used(events)[0]
    assert answer.test.source != "test" and answer.test.samples < 300
    assert timed.study().status["spent"] <= 1.05 * 500


@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_heads_that_are_trained_give_an_answer_too(timed: ToySearch, seconds: float) -> None:
    networks = {"small": {"seconds": seconds}}
    options = {"heads": ("linear",), "strategies": ("frozen",)}
    _, answer = _search(timed, 500.0, 1200, networks, **options)
    assert answer.winner.configuration.head == "linear"
    assert timed.study().status["spent"] <= 1.05 * 500


def test_when_the_time_is_over_before_the_first_look_there_is_an_answer_all_the_same(
    timed: ToySearch,
) -> None:
    networks = {"small": {"seconds": 1.0, "to_build": 600.0}}
    events, answer = _search(timed, 500.0, 1200, networks)
    assert "15 of 960 development samples and 15 of 240 test samples" in _used(events)[0]
    assert answer.test.samples == 15
    assert any("budget" in row.reason for row in answer.why_not)


def test_a_look_that_does_not_fit_is_not_begun(timed: ToySearch) -> None:
    networks = {"small": {"seconds": 0.2}, "wide": {"seconds": 2.0}}
    events, answer = _search(
        timed, 300.0, 1200, networks, strategies=("frozen",), heads=("ridge",)
    )
    assert not _used(events) and CLOCK.samples["toy/wide"] == 0
    assert answer.winner.configuration.backbone == "toy/small"
    reasons = [event.reason for event in events if isinstance(event, BackboneExcluded)]
    assert reasons == ["the time for screening was used up before it"]


def test_what_the_final_does_not_need_goes_to_fine_tuning(timed: ToySearch) -> None:
    networks = {"small": {"seconds": 0.1}}
    _, answer = _search(timed, 600.0, 240, networks, heads=("ridge", "prototype"))
    assert answer.confirmation is not None
    assert 0.85 * 600 <= timed.study().status["spent"] <= 1.05 * 600


TWO_BY_TWO = {"heads": ("ridge", "prototype"), "strategies": ("frozen", "last-stages")}


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_finalist_that_takes_too_long_does_not_keep_the_others_from_fresh_folds(
    timed: ToySearch, monkeypatch: pytest.MonkeyPatch, foreseen: bool
) -> None:
    def short(context: Any, reserve: confirm.Ending) -> Iterator[Event]:
        end = context.watch.left - 10
        return confirm.confirm(context, lambda _: end)

    monkeypatch.setattr(searching, "confirm", short)
    if not foreseen:
        monkeypatch.setattr(confirm, "_predicted", lambda *_: 0.0)
    networks = {"small": {"seconds": 0.3}}
    _, answer = _search(timed, 600.0, 240, networks, **TWO_BY_TWO)
    assert answer.confirmation is not None
    finalists = [one.configuration for one in answer.confirmation.finalists]
    assert {one.strategy for one in finalists} == {"frozen"}
    assert {one.head for one in finalists} == {"ridge", "prototype"}
    assert answer.confirmation.folds == (10 if foreseen else 1)
    (note,) = [note for note in answer.notes if "set aside" in note]
    assert "ridge, last-stages; about" in note and "larger --budget" in note


def test_a_fine_tune_that_leads_and_takes_too_long_is_not_set_aside_for_others(
    timed: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(context: Any, reserve: confirm.Ending) -> Iterator[Event]:
        best = max(context.outcomes, key=lambda row: row.seconds)
        context.outcomes = [
            replace(row, value=0.99) if row is best else row for row in context.outcomes
        ]
        end = context.watch.left - 10
        return confirm.confirm(context, lambda _: end)

    monkeypatch.setattr(searching, "confirm", short)
    networks = {"small": {"seconds": 0.3}}
    _, answer = _search(timed, 600.0, 240, networks, **TWO_BY_TWO)
    assert answer.confirmation is None
    assert answer.winner.configuration.strategy == "last-stages"
    assert any("no time to train the finalists again" in note for note in answer.notes)


@pytest.mark.parametrize(("budget", "sizes"), [(60.0, {96}), (600.0, {96, 224})])
def test_while_a_short_search_reads_it_prepares_samples_for_the_cheapest_backbone_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: float, sizes: set[int]
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    for place in range(30):
        path = tmp_path / "data" / f"class{place % 3}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 300), (place, 90 * (place % 3), 0)).save(path)
    made: set[int] = set()
    plain_view = inspecting.plain_view

    def watching(image: Image.Image, chosen: Any) -> Any:
        view = plain_view(image, chosen)
        made.add(view.shape[0])
        return view

    monkeypatch.setattr(inspecting, "plain_view", watching)
    request = SearchRequest(
        data=str(tmp_path / "data"),
        study="short",
        studies=str(tmp_path / "studies"),
        budget_seconds=budget,
        backbones=("bundled/*",),
        offline=True,
    )
    events = run_search(request, load_registry(third_party=False))
    for event in events:
        if isinstance(event, StageStarted) and event.stage == "screen":
            break
    events.close()  # type: ignore[attr-defined]
    assert made & {96, 224} == sizes


def test_crowding_is_what_passes_while_this_thread_waits() -> None:
    computed, passed = iter([0.0, 0.02, 0.04, 0.04]), iter([0.0, 0.1])
    assert crowding(lambda: next(passed), lambda: next(computed)) == pytest.approx(2.5)
    computed, passed = iter([0.0, 0.04, 0.04]), iter([0.0, 10.0])
    assert crowding(lambda: next(passed), lambda: next(computed)) == budget_module.MOST_CROWDED


def test_an_arm_for_which_the_ladder_is_too_long_is_tried_for_as_long_as_fits(
    timed: ToySearch,
) -> None:
    networks = {"small": {"seconds": 0.05}}
    options = {"heads": ("ridge",), "strategies": ("frozen", "last-stages", "full")}
    events, _ = _search(timed, 600.0, 240, networks, **options)
    tuned = [row for row in timed.study().trials if row.stage == "tune"]
    (rungs,) = re.findall(
        r"rungs at (\d+)",
        " ".join(event.detail for event in events if isinstance(event, StageStarted)),
    )
    dear = [row for row in tuned if row.configuration.strategy == "full"]
    assert any(row.state == "finished" and 5 <= row.steps < int(rungs) for row in dear)
    assert timed.study().status["spent"] <= 1.05 * 600


def test_backbones_whose_features_are_kept_are_not_lost_to_a_pass_for_more(
    timed: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {"small": {"seconds": 0.05}, "wide": {"seconds": 0.05}}
    with monkeypatch.context() as before:  # a version that reads the features alone
        before.setattr(looks, "read_of", lambda *_: None)
        _search(timed, 600.0, 1200, networks, strategies=("frozen",))
    spent = timed.study().status["spent"]
    events, answer = _search(timed, spent + 31.0, 1200, networks, strategies=("frozen",))
    assert not [event for event in events if isinstance(event, BackboneExcluded)]
    assert not _used(events), "all of the data"
    assert {row.configuration.backbone for row in answer.ranking} == {"toy/small", "toy/wide"}
