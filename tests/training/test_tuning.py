"""A trial in rungs: each end is a whole training, and nothing that was done is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from automl_transfer.errors import (
    DivergedError,
    FreezeViolationError,
    OutOfMemoryError,
    StudyError,
    TrialError,
)
from automl_transfer.plan import Adapter, FreezePlan, Phase, from_probed_head
from automl_transfer.space import Space
from automl_transfer.target import Target
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.link import link_of
from automl_transfer.training.run import OutOfTimeError, Part, Settings
from automl_transfer.training.schedule import decay_start, factor, phase_ends
from automl_transfer.training.stages import stages_of
from automl_transfer.training.tuning import Tuning
from tests.training.workshop import (
    CPU,
    HEADS,
    REGISTRY,
    any_card,
    backbone,
    moved,
    row_store,
    state,
    toy_backbone,
    train,
)

HEAD_BY_ID = {card.id: card for card in HEADS}
LADDER = (6, 18, 40)
NAMES = ("block0", "block1", "block2")
PLANS = {
    "last": from_probed_head(Phase(name="last", share=1.0, trains={"block2": 1.0}), lr=1e-2),
    "all": from_probed_head(
        Phase(name="all", share=1.0, trains=dict.fromkeys(NAMES, 1.0), norm="train"), lr=1e-2
    ),
    "adapters": from_probed_head(
        Phase(
            name="adapters",
            share=1.0,
            trains=dict.fromkeys(NAMES, 1.0),
            adapter=Adapter(rank=2, alpha=4.0, dropout=0.1),
        ),
        lr=1e-2,
    ),
    # The border lies inside the second rung; the third begins before the end of the second.
    "phases": FreezePlan(
        phases=(
            Phase(name="head", share=0.0),
            Phase(name="last", share=0.3, trains={"block2": 1.0}),
            Phase(name="again", share=0.0),
            Phase(name="more", share=0.7, trains={"block1": 1.0, "block2": 0.5}),
            Phase(name="end", share=0.0),
        ),
        lr=1e-2,
        head_lr=1e-2,
    ),
}


def arguments(plan: FreezePlan = PLANS["last"], **changes: Any) -> dict[str, Any]:
    n, cut = 30, 20
    rows = row_store(n=n)
    labels = np.array([sample.label for sample in rows.samples])
    places = np.arange(n)

    def part(chosen: np.ndarray) -> Part:
        return Part(rows=rows, positions=chosen, targets=labels[chosen])

    head = HEAD_BY_ID["mlp"]
    params = {"hidden": 64, "dropout": 0.2}
    found: dict[str, Any] = {
        "backbone": toy_backbone,
        "stages": stages_of(toy_backbone(), any_card()),
        "plan": plan,
        "head": lambda width: REGISTRY.load(head)(width=width, classes=3, params=params),
        "head_lr": 1e-2,
        "head_weight_decay": 1e-4,
        "closed_form": False,
        "link": link_of(Target(names=("a", "b", "c"))),
        "train": part(places[:cut]),
        "evaluate": part(places[cut:]),
        "settings": Settings(epochs=0, head_epochs=3, batch_size=4, seed=5),
        "ladder": LADDER,
        "device": CPU,
    }
    return found | changes


def tuning(plan: FreezePlan = PLANS["last"], **changes: Any) -> Tuning:
    return Tuning(**arguments(plan, **changes))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and not moved(one, other)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("kept", [False, True], ids=["recomputed", "kept"])
def test_a_parked_trial_goes_on_as_if_it_had_not_been(tmp_path, name: str, kept: bool) -> None:
    key = FeatureKey(weights="w", card="c", encoder="arrays")

    def options() -> dict[str, Any]:
        store = ActivationStore(cache=None, key=key) if kept else None
        return arguments(PLANS[name], activations=store)

    whole = Tuning(**options())
    reports = [whole.advance(rung) for rung in LADDER]
    broken = Tuning(**options())
    found = []
    for rung in LADDER:
        found.append(broken.advance(rung))
        broken.save(tmp_path)
        torch.rand(3)
        broken = Tuning.load(tmp_path, **options())
        assert broken.step == rung
    for report, again in zip(reports, found, strict=True):
        np.testing.assert_array_equal(report.probabilities, again.probabilities)
        assert (report.step, report.epoch, report.loss) == (again.step, again.epoch, again.loss)
    assert same(state(whole.finish().model), state(broken.finish().model))


class _LeftError(BaseException):
    pass


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("at", [2, 4, 5, 9, 15, 17, 25, 35, 39])
def test_a_trial_that_is_left_amid_a_rung_goes_on_there(tmp_path, name: str, at: int) -> None:
    amid, rungs = tmp_path / "amid", tmp_path / "rungs"
    whole = Tuning(**arguments(PLANS[name]))
    reports = [whole.advance(rung) for rung in LADDER]
    steps: list[int] = []

    def left(step: int, _: int) -> None:
        steps.append(step)
        if step == at:
            raise _LeftError

    broken = Tuning(**arguments(PLANS[name]))
    found = []
    for rung in LADDER:
        try:
            found.append(broken.advance(rung, left, amid))
        except _LeftError:
            began = len(steps)
            torch.rand(3)
            place = amid if amid.is_dir() else rungs
            broken = (
                Tuning.load(place, **arguments(PLANS[name]))
                if place.is_dir()
                else Tuning(**arguments(PLANS[name]))
            )
            found.append(broken.advance(rung, lambda step, _: steps.append(step), amid))
            # Unless the rate was falling by then to a rung that is not the last, no step is made
            # twice; then those since it fell are.
            falls = decay_start(rung)
            kept = at if at <= falls or rung == LADDER[-1] else falls
            assert steps[began] == kept + 1
        broken.save(rungs)
        shutil.rmtree(amid, ignore_errors=True)
    for report, again in zip(reports, found, strict=True):
        np.testing.assert_array_equal(report.probabilities, again.probabilities)
    assert same(state(whole.finish().model), state(broken.finish().model))


def test_what_is_left_amid_the_evaluation_goes_on_where_the_rate_fell(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Tuning(**arguments(PLANS["last"]))
    reports = [whole.advance(rung) for rung in LADDER]
    broken = Tuning(**arguments(PLANS["last"]))
    broken.advance(LADDER[0])
    broken.save(tmp_path / "rung")

    def left(*_: object) -> None:
        raise _LeftError

    with monkeypatch.context() as patch:
        patch.setattr(Tuning, "_report", left)
        with pytest.raises(_LeftError):
            broken.advance(LADDER[1], None, tmp_path / "amid")
    steps: list[int] = []
    again = Tuning.load(tmp_path / "amid", **arguments(PLANS["last"]))
    report = again.advance(LADDER[1], lambda step, _: steps.append(step))
    assert steps[0] == decay_start(LADDER[1]) + 1
    np.testing.assert_array_equal(report.probabilities, reports[1].probabilities)
    last = again.advance(LADDER[2])
    np.testing.assert_array_equal(last.probabilities, reports[2].probabilities)


def test_long_ways_are_kept_now_and_then(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("automl_transfer.training.tuning.AMID_SECONDS", 0.0)
    kept: list[int] = []

    def looking(step: int, _: int) -> None:
        kept.append((tmp_path / "amid").is_dir())

    trial = tuning()
    trial.advance(LADDER[0], looking, tmp_path / "amid")
    assert any(kept)


def test_a_full_disk_on_the_way_does_not_end_a_trial(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("automl_transfer.training.tuning.AMID_SECONDS", 0.0)
    monkeypatch.setattr("automl_transfer.training.tuning.park", full)
    trial = tuning()
    report = trial.advance(LADDER[0], None, tmp_path / "amid")
    assert report.step == LADDER[0]
    assert "No space left" in trial.notes[0]


def test_a_killed_process_is_no_loss(tmp_path) -> None:
    """The same with another process, so that nothing is shared but the directory."""
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.training.test_tuning import tuning\n"
        "trial = tuning(); trial.advance(6); trial.save(Path(sys.argv[1]))\n"
    )
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=root)
    resumed = Tuning.load(tmp_path, **arguments())
    whole = tuning()
    whole.advance(6)
    np.testing.assert_array_equal(
        resumed.advance(18).probabilities, whole.advance(18).probabilities
    )


@pytest.mark.parametrize("name", PLANS)
def test_a_result_can_be_had_at_any_rung_and_the_trial_goes_on(name: str) -> None:
    trial, straight = tuning(PLANS[name]), tuning(PLANS[name])
    for rung in LADDER:
        report = trial.advance(rung)
        result = trial.finish()
        np.testing.assert_array_equal(result.probabilities, report.probabilities)
        assert result.epochs == -(-rung // trial.steps_per_epoch)
        assert not any("lora" in key for key in result.model.state_dict())
        assert result.proof.frozen_tensors > 0 or name == "all"
        other = straight.advance(rung)
        np.testing.assert_array_equal(report.probabilities, other.probabilities)


def test_a_rung_ends_as_a_training_of_that_length_does() -> None:
    plan = PLANS["last"]
    rate = float(Space(HEAD_BY_ID["linear"].space).defaults()["lr"])
    trial = tuning(plan, head=nothing_random, head_lr=rate)
    trial.advance(6)
    found = state(trial.finish().model)
    built = toy_backbone()
    ended = train(
        built,
        None,
        plan=plan,
        head=HEAD_BY_ID["linear"],
        n=30,
        settings=Settings(epochs=0, steps=6, head_epochs=3, batch_size=4, seed=5),
    )
    assert ended.reports[-1].step == 6
    assert same(state(ended.result.model), found)


def nothing_random(width: int) -> nn.Module:
    return REGISTRY.load(HEAD_BY_ID["linear"])(width=width, classes=3, params={})


def test_rungs_may_be_left_out() -> None:
    stepwise, direct = tuning(), tuning()
    direct.advance(40)
    for rung in LADDER:
        stepwise.advance(rung)
    assert same(state(stepwise.finish().model), state(direct.finish().model))


def test_only_what_trains_moves_over_all_rungs() -> None:
    before = state(toy_backbone().module)
    trial = tuning()
    for rung in LADDER:
        trial.advance(rung)
    result = trial.finish()
    changed = moved(before, state(result.model.network))
    assert changed and all(name.startswith("block2.") for name in changed)
    assert result.proof.frozen_tensors == sum(name not in changed for name in before)


@pytest.mark.parametrize("name", PLANS)
def test_the_end_of_the_budget_leaves_the_last_rung(name: str) -> None:
    stop = False
    trial = tuning(PLANS[name], should_stop=lambda: stop)
    with pytest.raises(TrialError, match="must finish a rung to have a result"):
        trial.finish()
    report = trial.advance(6)

    def ends(step: int, to: int) -> None:
        nonlocal stop
        stop = step >= 9

    with pytest.raises(OutOfTimeError):
        trial.advance(18, on_step=ends)
    stop = False
    assert trial.step == 6
    np.testing.assert_array_equal(trial.finish().probabilities, report.probabilities)
    straight = tuning(PLANS[name])
    np.testing.assert_array_equal(
        trial.advance(18).probabilities, straight.advance(18).probabilities
    )


def test_steps_are_counted_and_timed() -> None:
    trial = tuning()
    assert (trial.step, trial.steps_per_epoch, trial.seconds_per_step) == (0, 5, None)
    seen: list[tuple[int, int]] = []
    report = trial.advance(6, on_step=lambda step, to: seen.append((step, to)))
    assert seen == [(step, 6) for step in range(1, 7)]
    assert (report.step, report.epoch, report.epochs) == (6, 2, 8)
    assert trial.seconds_per_step is not None and trial.seconds_per_step > 0
    seen.clear()
    trial.advance(18, on_step=lambda step, to: seen.append((step, to)))
    assert seen[0] == (decay_start(6) + 1, 18), "it goes on from before the decay"


@pytest.mark.parametrize("to", [5, 6, 100])
def test_a_trial_advances_to_rungs_that_lie_ahead(to: int) -> None:
    trial = tuning()
    trial.advance(6)
    with pytest.raises(ValueError, match=r"must advance to a rung of \(6, 18, 40\) after 6"):
        trial.advance(to)


@pytest.mark.parametrize("ladder", [(), (6, 6), (18, 6), (0, 6)])
def test_a_ladder_ascends(ladder: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="an ascending ladder of steps"):
        tuning(ladder=ladder)


def test_the_shortest_ladder_is_one_step() -> None:
    straight, parked = tuning(ladder=(1, 2)), tuning(ladder=(1, 2))
    parked.advance(1)
    parked.advance(2)
    straight.advance(2)
    assert same(state(straight.finish().model), state(parked.finish().model))


def test_without_a_part_to_evaluate_there_are_no_probabilities() -> None:
    trial = tuning(evaluate=None)
    assert trial.advance(6).probabilities.shape == (0, 3)
    assert trial.finish().probabilities.shape == (0, 3)


def test_a_loss_that_explodes_is_divergence_and_the_rung_before_it_stays() -> None:
    plan = from_probed_head(Phase(name="l", share=1.0, trains={"block2": 1.0}), lr=1e30)
    trial = tuning(plan)
    with pytest.raises(DivergedError, match="must be finite"):
        trial.advance(40)
    assert trial.step == 0


def test_too_little_memory_has_a_name() -> None:
    from tests.training.test_trial import Failing

    def built() -> Any:
        return backbone(Failing(0, only_training=True))

    plan = from_probed_head(Phase(name="l", share=1.0, trains={"layer": 1.0}), lr=1e-3)
    with pytest.raises(OutOfMemoryError, match="A batch of 4 must fit into memory"):
        tuning(plan, backbone=built, stages=stages_of(built(), any_card())).advance(6)


class _Tight(nn.Module):
    """Fits so many samples at once, as a device with little memory does, while it trains."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.most = most
        self.refused = 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and len(batch) > self.most:
            self.refused += 1
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.tanh(self.layer(batch))


@pytest.mark.parametrize("most", [3, 2, 1])
def test_a_batch_that_does_not_fit_is_halved_and_comes_to_the_same(most: int) -> None:
    plan = from_probed_head(Phase(name="l", share=1.0, trains={"layer": 1.0}), lr=1e-2)
    built: list[_Tight] = []

    def trained(fits: int) -> tuple[Tuning, np.ndarray]:
        def build() -> Any:
            torch.manual_seed(0)
            built.append(_Tight(fits))
            return backbone(built[-1])

        trial = tuning(plan, backbone=build, stages=stages_of(build(), any_card()))
        return trial, trial.advance(6).probabilities

    _, whole = trained(10**6)
    trial, halved = trained(most)
    assert built[-1].refused == {3: 1, 2: 1, 1: 2}[most]
    assert "did not fit into memory: it is divided by" in trial.notes[0]
    np.testing.assert_allclose(halved, whole, atol=1e-5)


class Parkings:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        trial = tuning()
        trial.advance(6)
        trial.save(directory)

    @property
    def tensors(self) -> Path:
        (found,) = self.directory.glob("*.safetensors")
        return found


def test_a_new_parking_takes_the_place_of_the_old_one(tmp_path) -> None:
    parking = Parkings(tmp_path)
    first = parking.tensors
    trial = Tuning.load(tmp_path, **arguments())
    trial.advance(18)
    trial.save(tmp_path)
    assert parking.tensors != first
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
    assert Tuning.load(tmp_path, **arguments()).step == 18


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "json", "empty"])
def test_a_damaged_parking_is_refused(tmp_path, damage: str) -> None:
    parking = Parkings(tmp_path)
    content = bytearray(parking.tensors.read_bytes())
    if damage == "bit":
        content[-5] ^= 4
        parking.tensors.write_bytes(content)
    elif damage == "cut":
        parking.tensors.write_bytes(content[:100])
    elif damage == "gone":
        parking.tensors.unlink()
    elif damage == "json":
        (tmp_path / "trial.json").write_text('{"revision": 1}')
    else:
        (tmp_path / "trial.json").unlink()
    with pytest.raises(StudyError, match="must be whole, but .* Start the trial again"):
        Tuning.load(tmp_path, **arguments())


@pytest.mark.parametrize(
    "change",
    [
        {"plan": PLANS["all"]},
        {"ladder": (6, 18)},
        {"settings": Settings(epochs=0, seed=6)},
        {"head_lr": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_parking_of_another_trial_is_refused(tmp_path, change: dict[str, Any]) -> None:
    Parkings(tmp_path)
    with pytest.raises(StudyError, match="of another configuration, other data"):
        Tuning.load(tmp_path, **arguments(**change))


def test_a_parking_names_no_file_outside(tmp_path) -> None:
    inside = tmp_path / "inside"
    parking = Parkings(inside)
    parking.tensors.rename(tmp_path / "elsewhere.safetensors")
    description = json.loads((inside / "trial.json").read_text())
    description["tensors"] = "../elsewhere.safetensors"
    (inside / "trial.json").write_text(json.dumps(description))
    with pytest.raises(StudyError, match="must be whole"):
        Tuning.load(inside, **arguments())


def test_weights_that_have_changed_behind_a_parking_are_noticed(tmp_path) -> None:
    Parkings(tmp_path)
    trial = Tuning.load(tmp_path, **arguments(backbone=lambda: toy_backbone(seed=8)))
    with pytest.raises(FreezeViolationError, match="goes on with the weights that it began with"):
        trial.advance(18)


def test_a_trial_that_has_not_begun_cannot_be_parked(tmp_path) -> None:
    with pytest.raises(TrialError, match="must finish a rung to be parked"):
        tuning().save(tmp_path)


def test_compiling_that_fails_is_noted_and_the_trial_goes_on(monkeypatch) -> None:
    def fails(self, *arguments, **options) -> None:
        def broken(*arguments, **options):
            raise RuntimeError("no compiler\nat all")

        self._compiled_call_impl = broken

    monkeypatch.setattr(nn.Module, "compile", fails)
    trial, plain = tuning(compile=True), tuning()
    np.testing.assert_array_equal(trial.advance(6).probabilities, plain.advance(6).probabilities)
    assert trial.notes == ["not compiled: no compiler"]
    assert plain.notes == []


def test_each_rung_rises_once_stays_and_falls() -> None:
    for rung in LADDER:
        values = [factor(step, rung, warm=2) for step in range(rung)]
        fall = decay_start(rung)
        assert values[:2] == [0.5, 1.0]
        assert set(values[2:fall]) <= {1.0}
        assert values[fall:] == sorted(values[fall:], reverse=True)
        assert values[-1] < 1.0 or rung - fall == 1


def test_phases_end_at_their_shares_of_the_full_length() -> None:
    assert phase_ends(PLANS["phases"], 40) == (0, 12, 12, 40, 40)
    assert phase_ends(PLANS["phases"], 1) == (0, 1, 1, 2, 2)
    assert phase_ends(PLANS["last"], 40) == (0, 40)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("place", ["device", "host", "disk"])
def test_a_device_trains_from_kept_activations_as_it_would_without(
    tmp_path, monkeypatch, place: str
) -> None:
    if place != "device":
        monkeypatch.setattr("automl_transfer.training.activations.DEVICE_SHARE", 0.0)
    key = FeatureKey(weights="w", card="c", encoder="arrays")
    store = ActivationStore(
        cache=ArrayCache(tmp_path, 10**8), key=key, memory_bytes=0 if place == "disk" else 10**8
    )
    device = torch.device("cuda:0")
    kept, recomputed = tuning(device=device, activations=store), tuning(device=device)
    for rung in LADDER:
        np.testing.assert_allclose(
            kept.advance(rung).probabilities, recomputed.advance(rung).probabilities, atol=0.05
        )
    kept.save(tmp_path / "parked")
    again = Tuning.load(tmp_path / "parked", **arguments(device=device))
    np.testing.assert_array_equal(again.finish().probabilities, kept.finish().probabilities)
