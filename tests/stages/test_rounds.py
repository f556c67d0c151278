"""Folds of the final, and what becomes of them."""

from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.stages.rounds import planned, predicted, withheld

LABELS = np.arange(60) % 3
DEVELOPMENT = np.arange(5, 55)
SCORED = DEVELOPMENT[DEVELOPMENT % 4 > 0]


def rounds(**changes):
    options = {"seed": 1, "folds": 10, "repeats": 3, "halves": True} | changes
    return planned(LABELS, np.arange(60) // 2, DEVELOPMENT, SCORED, **options)


def made(plan, numbers=(7, 9)):
    """Finalists that predict the position of a sample and how many were learnt from."""
    return [
        (
            one,
            {
                number: np.stack([one.score, np.full(len(one.score), len(one.learn))], axis=1)
                for number in numbers
            },
        )
        for one in plan
    ]


@pytest.mark.parametrize("halved", [False, True])
def test_each_repeat_scores_each_sample_once_and_by_what_has_not_seen_it(halved: bool) -> None:
    plan = [one for one in rounds() if one.halved is halved]
    for repeat in range(3):
        own = [one for one in plan if one.repeat == repeat]
        assert sorted(np.concatenate([one.score for one in own])) == SCORED.tolist()
        for one in own:
            assert not set(one.score // 2) & set(one.learn // 2), "units stay together"
            assert len(one.learn) == pytest.approx(50 * (0.5 if halved else 0.9), abs=2)


def test_repeats_and_halves_are_drawn_anew() -> None:
    firsts = {tuple(one.learn) for one in rounds() if one.fold == 0}
    assert len(firsts) == 6


def test_what_is_left_out_early_is_the_last_repeat() -> None:
    assert [(one.repeat, one.halved) for one in rounds()] == [
        (repeat, halved)
        for repeat in range(3)
        for halved in (False, True)
        for _ in range(2 if halved else 10)
    ]
    assert not any(one.halved for one in rounds(halves=False))
    assert len(rounds(halves=False, repeats=1, enough=1)) == 1


def test_predictions_come_in_the_order_of_the_samples() -> None:
    usual = made([one for one in rounds() if not one.halved])
    found = predicted(usual, 7)
    assert found.shape == (3, len(SCORED), 2)
    assert (found[:, :, 0] == SCORED).all()


def test_both_kinds_of_rounds_are_laid_side_by_side() -> None:
    usual, halves = (
        made([one for one in rounds() if one.halved is kind]) for kind in (False, True)
    )
    found = withheld(usual, halves, 50)
    assert found is not None
    assert found.much_share == pytest.approx(0.9, abs=0.01)
    assert found.little_share == pytest.approx(0.5, abs=0.01)
    assert len(found.much) == len(found.little) == 2
    assert (found.much[0][:, :, 0] == found.little[1][:, :, 0]).all()


def test_only_whole_halves_and_finalists_that_went_through_them_count() -> None:
    usual, halves = (
        made([one for one in rounds() if one.halved is kind]) for kind in (False, True)
    )
    cut = withheld(usual, halves[:3], 50)
    assert cut is not None and cut.little[0].shape[0] == 1
    assert withheld(usual, halves[:1], 50) is None
    assert withheld(usual, [], 50) is None
    lacking = [*halves[:5], (halves[5][0], {9: halves[5][1][9]})]
    found = withheld(usual, lacking, 50)
    assert found is not None and len(found.much) == 1
    assert withheld(usual, [(one, {}) for one, _ in halves], 50) is None


def test_folds_that_withhold_as_much_as_halves_tell_nothing() -> None:
    plan = rounds(folds=2)
    usual, halves = (made([one for one in plan if one.halved is kind]) for kind in (False, True))
    assert withheld(usual, halves, 50) is None
