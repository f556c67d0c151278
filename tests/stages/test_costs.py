"""What the user allows: licences, parameters, latency; and what configurations cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from automl_transfer.configuration import Configuration
from automl_transfer.contracts import Batch
from automl_transfer.errors import EmptySpaceError, NothingUsableError, StudyError
from automl_transfer.events import BackboneExcluded, Event, Recommended
from automl_transfer.outcome import Outcome
from automl_transfer.plugins import load_registry
from automl_transfer.stages import costs as stage
from automl_transfer.stages import recommend
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.costs import cost_of, over_limit
from automl_transfer.testing.toy import ToyPlugin
from automl_transfer.trained import Model
from automl_transfer.training import costs
from tests.toy_search import ToySearch

SMALL: dict[str, Any] = {"trials": 2, "strategies": ("frozen",), "hold_out": "yes"}


@pytest.fixture
def toy(tmp_path: Path) -> ToySearch:
    return ToySearch(tmp_path)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes a latency of 1 ms a number of features; notes how wide what was measured is."""
    widths: list[int] = []

    def fake(
        forward: Callable[[Batch], torch.Tensor], batch: Batch, device: torch.device, **_: object
    ) -> float:
        with torch.no_grad():
            widths.append(forward(batch).shape[1])
        return widths[-1] / 1000

    monkeypatch.setattr(costs, "latency", fake)
    return widths


def left_out(events: list[Event]) -> dict[str, str]:
    return {e.backbone: e.reason for e in events if isinstance(e, BackboneExcluded)}


def licensed(toy: ToySearch, **licenses: str | None) -> None:
    """Gives the toy backbones other licences."""
    cards = [
        replace(card, weights=replace(card.weights, license=licenses[card.id.partition("/")[2]]))
        for card in toy.plugin.automl_transfer_backbones()
    ]
    toy.plugin = ToyPlugin(cards)


def test_a_slow_backbone_is_left_out_with_its_latency(toy: ToySearch, passes: list[int]) -> None:
    events = toy.run(toy.request(max_latency=0.02, **SMALL))
    reason = left_out(events)["toy/wide"]
    assert reason == "32 ms for a batch of one on this device, more than --max-latency 20ms"
    answer = events[-1]
    assert isinstance(answer, Recommended)
    assert answer.recommendation.winner.configuration.backbone == "toy/small"
    assert ("toy/wide", reason) in [(r.what, r.reason) for r in answer.recommendation.why_not]
    assert passes[:2] == [8, 32], "each is measured once"
    assert 32 not in passes[2:]


def test_a_resumed_search_does_not_measure_again(toy: ToySearch, passes: list[int]) -> None:
    toy.run(toy.request(max_latency=0.02, **SMALL))
    events = toy.run(toy.request(max_latency=0.02, **(SMALL | {"trials": 4})))
    assert passes.count(32) == 1 and set(left_out(events)) == {"toy/wide"}


def test_without_a_limit_only_models_are_measured(toy: ToySearch, passes: list[int]) -> None:
    toy.run(toy.request(**SMALL))
    assert set(passes) == {3}, "class scores, never features"


def test_a_limit_that_nothing_keeps_says_what_was_measured(
    toy: ToySearch, passes: list[int]
) -> None:
    with pytest.raises(EmptySpaceError, match=r"8 ms for a batch of one .* --max-latency 1ms"):
        toy.run(toy.request(max_latency=0.001, **SMALL))


def test_only_permissive_weights_are_tried(toy: ToySearch) -> None:
    licensed(toy, small="MIT", wide="CC-BY-NC-4.0")
    events = toy.run(toy.request(license="permissive", **SMALL))
    assert left_out(events) == {
        "toy/wide": "the licence of its weights is CC-BY-NC-4.0, which --license permissive does "
        "not allow"
    }
    assert not left_out(toy.run(toy.request(study="any", **SMALL)))


def test_weights_of_unknown_terms_are_not_tried(toy: ToySearch) -> None:
    licensed(toy, small=None, wide="Apache-2.0")
    events = toy.run(toy.request(license="permissive", **SMALL))
    assert "not known" in left_out(events)["toy/small"]
    assert {row.backbone for row in rows(toy)} == {"toy/wide"}


def rows(toy: ToySearch) -> list[Configuration]:
    study = toy.study()
    try:
        return [outcome.configuration for outcome in study.trials]
    finally:
        study.close()


def test_constraints_and_what_is_preferred_belong_to_a_study(toy: ToySearch) -> None:
    toy.run(toy.request(**SMALL))
    for changes in ({"max_latency": 1.0}, {"license": "permissive"}, {"prefer": "size"}):
        with pytest.raises(StudyError, match="made with other options"):
            toy.run(toy.request(**SMALL, **changes))


def test_costs_are_measured_once_for_each_form_of_a_model(
    toy: ToySearch, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[Context, Outcome, Candidate]] = []
    monkeypatch.setattr(recommend, "rank", _before(recommend.rank, kept))
    toy.run(toy.request(**(SMALL | {"trials": 4, "backbones": ("toy/small",)})))
    context, outcome, candidate = kept[0]

    def cost(head: str, strategy: str = "frozen", **params: Any) -> Any:
        configuration = Configuration(
            backbone="toy/small",
            head=head,
            strategy=strategy,
            params={f"head/{head}/{name}": value for name, value in params.items()},
        )
        return cost_of(context, replace(outcome, configuration=configuration), candidate)

    linear = cost("linear")
    assert linear.training == outcome.seconds and linear.device.startswith("cpu")
    # Three blocks of a linear layer and a batch norm; scale and mean of the features; the head.
    blocks = 3 * (8 * 8 + 8) + 3 * 2 * 8
    assert linear.parameters == blocks + 3 * 9
    assert linear.bytes == 4 * (linear.parameters + 3 * 2 * 8 + 9) + 3 * 8
    assert linear.memory > linear.bytes and linear.batch == 16
    known = len(passes)
    assert cost("linear", "full", weight_decay=0.1) == linear and len(passes) == known
    assert cost("mlp", hidden=32, dropout=0.1).parameters > linear.parameters
    assert len(passes) == known + 2, "of another head only what it takes itself"
    # The limit is in seconds: one class is a millisecond here, and there are three.
    assert linear.latency == pytest.approx(0.003)
    assert over_limit(context, linear) is None
    strict = SimpleNamespace(request=replace(context.request, max_latency=0.002))
    assert "3 ms for a batch of one" in str(over_limit(strict, linear))  # type: ignore[arg-type]


def _before(rank: Any, kept: list[Any]) -> Any:
    def noting(context: Context, best: Any, *more: Any) -> Any:
        kept.append((context, best[0], context.candidates[best[0].configuration.backbone]))
        return rank(context, best, *more)

    return noting


def slow_ones(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """No finalists are compared; the models of these trials take 50 ms."""

    def cost(context: Context, row: Outcome, candidate: Candidate) -> Any:
        return SimpleNamespace(latency=0.05 if row.number in numbers else 0.001)

    monkeypatch.setattr(recommend, "confirmation", lambda context: None)
    monkeypatch.setattr(stage, "cost_of", cost)


def test_the_answer_is_fast_enough_though_no_finalist_was_measured(
    toy: ToySearch, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = ("prototype", "ridge")
    options: dict[str, Any] = SMALL | {"trials": 4, "max_latency": 0.04, "heads": heads}
    best = toy.run(toy.request(study="free", **options))[-1]
    assert isinstance(best, Recommended)
    first = best.recommendation.ranking[0].number
    slow_ones(monkeypatch, first)
    answer = toy.run(toy.request(**options))[-1]
    assert isinstance(answer, Recommended)
    assert answer.recommendation.winner.number != first
    reasons = {row.what: row.reason for row in answer.recommendation.why_not}
    assert reasons[f"trial {first}"].startswith("50 ms for a batch of one")
    assert any("is slower than --max-latency" in note for note in answer.recommendation.notes)


def test_an_answer_that_nothing_is_fast_enough_for_is_refused(
    toy: ToySearch, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_ones(monkeypatch, *range(9))
    with pytest.raises(NothingUsableError, match="takes 50 ms .* --max-latency 40ms"):
        toy.run(toy.request(**SMALL, max_latency=0.04))


class _Written(TorchDispatchMode):
    """Counts the numbers that operations write."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.numbers += found.numel() if isinstance(found, torch.Tensor) else 0
        return found


def test_the_delivered_model_keeps_to_the_limit(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_work(
        forward: Callable[[Batch], torch.Tensor], batch: Batch, device: torch.device, **_: object
    ) -> float:
        """A microsecond for each number that is written."""
        with torch.no_grad(), _Written() as written:
            forward(batch)
        return written.numbers / 1e6

    monkeypatch.setattr(costs, "latency", by_work)
    options: dict[str, Any] = {
        "trials": 12,
        "strategies": ("frozen",),
        "heads": ("ridge", "mlp"),
        "prefer": "accuracy",
    }
    limit = 0.0005
    delivered, told = {}, {}
    for name, allowed in {"free": None, "strict": limit}.items():
        answer = toy.run(toy.request(study=name, max_latency=allowed, **options))[-1]
        assert isinstance(answer, Recommended)
        found = answer.recommendation
        model = Model.load(
            toy.directory / "studies" / name / found.model,
            load_registry(extra=[toy.plugin], third_party=False),
        )
        network = model.network.eval()
        delivered[name] = by_work(
            lambda batch, network=network: network(batch).float().softmax(dim=1),
            torch.zeros(1, 8),
            torch.device("cpu"),
        )
        assert found.confirmation is not None
        told[name] = {one.number: one.cost for one in found.confirmation.finalists}[
            found.winner.number
        ]
    assert delivered["strict"] <= limit < delivered["free"]
    for name, cost in told.items():
        assert cost is not None and cost.latency == pytest.approx(delivered[name])
