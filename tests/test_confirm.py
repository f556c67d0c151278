from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl_transfer.corrected import of_choices
from automl_transfer.events import Note, StageStarted
from automl_transfer.grouping import grouped
from automl_transfer.outcome import finished, value_of
from automl_transfer.stages import confirm as stage
from automl_transfer.stages import finalists
from tests.toy_search import ToySearch


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> ToySearch:
    """A search over few samples: no test part, so the score is by cross-validation."""
    toy = ToySearch(tmp_path_factory.mktemp("few"))
    toy.run(toy.request(hold_out="auto"))
    return toy


def test_few_samples_are_scored_by_cross_validation(few: ToySearch) -> None:
    study = few.study()
    answer = study.recommendation
    assert answer is not None
    assert "test" not in study.files.read_manifest()["part"]
    assert answer.test.source == "cross-validation"
    # No trial was scored on these; the validation part decided who came into the final.
    scored = study.files.read_manifest()["part"].count("train")
    assert answer.test.samples == scored == sum(map(sum, answer.test.confusion))
    assert answer.test.openings == 0
    assert answer.test.interval.low <= answer.test.value <= answer.test.interval.high
    assert answer.test.value > 0.5
    assert "corrected for the choice among" in answer.test.method


def test_what_the_folds_withhold_is_added_and_told(few: ToySearch) -> None:
    study = few.study()
    answer = study.recommendation
    assert answer is not None and answer.confirmation is not None
    gain = answer.test.gain
    assert gain is not None and abs(gain) < 0.2
    assert f"{100 * gain:+.1f} points, since each of these models had" in answer.test.method
    assert "% of the samples, the delivered one from all, by what" in answer.test.method
    assert answer.test.method in study.files.report.read_text()
    assert answer.test.value <= 1


def test_finalists_are_of_different_kinds_and_one_of_them_wins(few: ToySearch) -> None:
    answer = few.study().recommendation
    assert answer is not None and answer.confirmation is not None
    compared = answer.confirmation.finalists
    kinds = {
        (one.configuration.backbone, one.configuration.head, one.configuration.strategy)
        for one in compared
    }
    assert 3 <= len(compared) == len(kinds) <= 5
    values = [one.value for one in compared]
    assert values == sorted(values, reverse=True)
    assert answer.winner.number == answer.confirmation.winner
    assert answer.winner.number in {one.number for one in compared}
    assert answer.ranking[0].number == answer.winner.number
    assert {row.number for row in answer.ranking[: len(compared)]} == {
        one.number for one in compared
    }


def test_the_luck_of_many_trials_of_a_kind_makes_no_finalist(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(finalists, "MOST", 3)
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), trials=40, hold_out="no"))
    study = toy.study()
    answer = study.recommendation
    assert answer is not None and answer.confirmation is not None
    kinds = grouped(finished(study.trials), lambda row: row.configuration.kind)
    manifest = study.files.read_manifest()
    part = np.array(manifest["part"]) == "val"
    labels = np.unique(manifest["class"], return_inverse=True)[1][part]
    pools = []
    for rows in kinds:
        stopped = [
            row
            for row in study.trials
            if row.state == "pruned" and row.configuration.kind == rows[0].configuration.kind
        ]
        beaten = [row for row in stopped if value_of(row) <= value_of(rows[0])]
        pool = [*rows, *sorted(beaten, key=value_of, reverse=True)]
        pools.append([study.files.read_predictions(row.number) for row in pool])
    assert any(len(pool) > len(rows) for pool, rows in zip(pools, kinds, strict=True))
    worth = of_choices(pools, labels, "accuracy", seed=0, resamples=finalists.RESAMPLES)  # type: ignore[arg-type]
    assert worth is not None
    for rows, pool, value in zip(kinds, pools, worth, strict=True):
        if len(pool) == 1:
            assert value == pytest.approx(rows[0].value)
    by_value = {rows[0].number: value for rows, value in zip(kinds, worth, strict=True)}
    found = {one.number for one in answer.confirmation.finalists}
    assert found != set(list(by_value)[:3])
    of_found = sorted(by_value[number] for number in found)
    assert of_found == pytest.approx(sorted(worth)[-3:])


def test_all_baselines_are_scored_on_the_same_samples(few: ToySearch) -> None:
    answer = few.study().recommendation
    assert answer is not None
    found = {row.name: row for row in answer.baselines}
    assert list(found) == [
        "majority class",
        "kNN on raw inputs",
        "kNN on frozen features",
        "plain default fine-tune",
        "winner from scratch",
    ]
    assert all(row.value is not None and row.gain is not None for row in found.values())
    gain = found["majority class"].gain
    assert gain is not None and gain.low > 0


def test_where_there_is_a_test_part_only_training_samples_are_scored_again(tmp_path) -> None:
    toy = ToySearch(tmp_path)
    events = toy.run(toy.request(strategies=("frozen",)))
    assert [event.stage for event in events if isinstance(event, StageStarted)][-2:] == [
        "confirm",
        "recommend",
    ]
    study = toy.study()
    answer = study.recommendation
    assert answer is not None and answer.confirmation is not None
    assert answer.confirmation.samples == study.files.read_manifest()["part"].count("train")
    assert answer.test.source == "test" and answer.test.openings == 1
    unrun = [row for row in answer.baselines if row.value is None]
    assert [row.name for row in unrun] == ["plain default fine-tune", "winner from scratch"]
    assert all("leave the backbone frozen" in row.description for row in unrun)


def test_the_same_seed_confirms_the_same(tmp_path) -> None:
    toy = ToySearch(tmp_path)
    found = []
    for name in ("one", "two"):
        toy.run(toy.request(study=name, strategies=("frozen",)))
        answer = toy.study(name).recommendation
        assert answer is not None and answer.confirmation is not None
        found.append([(one.number, one.value) for one in answer.confirmation.finalists])
    assert found[0] == found[1]


def test_a_finalist_that_fails_is_dropped_with_a_reason(tmp_path, monkeypatch) -> None:
    real = stage.heads_again

    def breaking(context, candidate, rows, **options):
        found = real(context, candidate, rows, **options)
        return [
            RuntimeError("out of luck") if row.configuration.head == "ridge" else made
            for row, made in zip(rows, found, strict=True)
        ]

    monkeypatch.setattr(stage, "heads_again", breaking)
    toy = ToySearch(tmp_path)
    events = toy.run(toy.request(strategies=("frozen",), heads=("ridge", "prototype", "linear")))
    texts = [event.text for event in events if isinstance(event, Note)]
    assert any("out of luck" in text and "not recommended" in text for text in texts)
    answer = toy.study().recommendation
    assert answer is not None
    assert answer.winner.configuration.head != "ridge"


def test_nothing_is_added_where_there_was_no_time_to_learn_from_halves(
    tmp_path, monkeypatch
) -> None:
    real = stage._Session.fits
    monkeypatch.setattr(
        stage._Session, "fits", lambda self, one: not one.halved and real(self, one)
    )
    toy = ToySearch(tmp_path)
    toy.run(toy.request(hold_out="no"))
    study = toy.study()
    answer = study.recommendation
    assert answer is not None and answer.test.source == "cross-validation"
    assert answer.test.gain is None
    assert "what that changes was not measured, and is not counted" in answer.test.method
    assert answer.test.method in study.files.report.read_text()


def test_a_model_that_has_learnt_from_less_than_those_of_the_folds_is_not_praised(
    tmp_path, monkeypatch
) -> None:
    from automl_transfer.stages import corrected_score, recommend

    real, asked = corrected_score.corrected, []

    def noting(*args, withheld, **options):
        asked.append(withheld)
        return real(*args, withheld=withheld, **options)

    def restoring(*args):
        made = yield from make_model(*args)
        return replace(made, refitted=False)

    make_model = recommend.make_model
    monkeypatch.setattr(corrected_score, "corrected", noting)
    monkeypatch.setattr(recommend, "make_model", restoring)
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), hold_out="no"))
    answer = toy.study().recommendation
    assert answer is not None and answer.test.gain is not None
    (withheld,) = asked
    assert withheld.delivered_share == pytest.approx(0.75, abs=0.02)
    assert withheld.times() < 0
    assert "learnt from 90 % of the samples, the delivered one from 75 %" in answer.test.method


def test_a_finalist_that_fails_on_half_of_the_samples_may_still_win(tmp_path, monkeypatch) -> None:
    real = stage.heads_again

    def breaking(context, candidate, rows, *, learn, **options):
        found = real(context, candidate, rows, learn=learn, **options)
        few = len(learn) < 0.6 * len(context.splits.development)
        return [
            RuntimeError("too few") if few and row.configuration.head == "ridge" else made
            for row, made in zip(rows, found, strict=True)
        ]

    monkeypatch.setattr(stage, "heads_again", breaking)
    toy = ToySearch(tmp_path)
    toy.run(
        toy.request(strategies=("frozen",), heads=("ridge", "prototype", "linear"), hold_out="no")
    )
    answer = toy.study().recommendation
    assert answer is not None and answer.confirmation is not None
    heads = {one.configuration.head for one in answer.confirmation.finalists}
    assert "ridge" in heads and len(heads) > 1
    assert answer.test.gain is not None
    assert not any("too few" in note for note in answer.notes)


def test_no_time_for_it_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stage._Session, "fits", lambda self, one: False)
    toy = ToySearch(tmp_path)
    events = toy.run(toy.request(strategies=("frozen",), hold_out="no"))
    assert any(isinstance(event, Note) and "no time to train" in event.text for event in events)
    answer = toy.study().recommendation
    assert answer is not None and answer.confirmation is None
    assert answer.test.source == "validation"
    assert np.isfinite(answer.test.value)
    assert answer.test.value <= answer.winner.value


def test_an_ensemble_is_told_beside_the_answer(tmp_path, monkeypatch) -> None:
    from automl_transfer.stages import ensembles

    # On data as easy as these one finalist outweighs the others.
    monkeypatch.setattr(
        ensembles, "greedy_ensemble", lambda given, *_: np.full(len(given), 1 / len(given))
    )
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",)))
    study = toy.study()
    answer = study.recommendation
    assert answer is not None and answer.ensemble is not None
    assert sum(answer.ensemble.members.values()) == pytest.approx(1)
    assert set(answer.ensemble.members) == {one.number for one in answer.confirmation.finalists}
    assert answer.ensemble.lead.low <= answer.ensemble.lead.high
    assert answer.winner.number in answer.ensemble.members
    assert "Not the answer, but known: an average of trial" in study.files.report.read_text()


def test_repeats_may_have_different_numbers_of_folds(tmp_path, monkeypatch) -> None:
    from automl_transfer.stages import rounds

    real, calls = rounds.random_folds, []

    def uneven(labels, count, seed, groups):
        # As with few groups: in the first repeat nothing is scored in two of the folds.
        calls.append(seed)
        found = real(labels, count, seed, groups)
        return np.minimum(found, count - 3) if seed == calls[0] else found

    monkeypatch.setattr(rounds, "random_folds", uneven)
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), hold_out="no"))
    answer = toy.study().recommendation
    assert answer is not None and answer.confirmation is not None
    assert answer.confirmation.repeats == 3
    assert answer.test.source == "cross-validation"


def test_a_score_of_the_validation_part_is_never_called_unseen(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stage._Session, "fits", lambda self, one: False)
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), hold_out="no"))
    text = toy.study().files.report.read_text()
    assert "of the validation part, on which it was chosen, corrected for that" in text
    assert "never saw" not in text and "on the test part" not in text
