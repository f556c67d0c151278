"""Confirm: the finalists again, on fresh folds and with fresh seeds; then one is chosen.

What a trial scored on the validation part is thrown away here: it was chosen for it, out of
hundreds, so it is too good by chance. The finalists are scored on samples of the training part
alone, on which no trial was ever scored. Without a test part that is done several times over,
since the answer's own score comes from them; and with half of the samples withheld, which tells
what the delivered model gains from learning from all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import Comparison
from automl_transfer.errors import TrialError, reason_of, staying
from automl_transfer.events import Event, Note, Progress, StageStarted
from automl_transfer.outcome import Outcome, finished
from automl_transfer.stages.again import Probabilities, again_seconds, heads_again, tuned_again
from automl_transfer.stages.choose import Rule
from automl_transfer.stages.context import Context
from automl_transfer.stages.finalists import choose_finalists, contenders, leader, usable
from automl_transfer.stages.proposals import trial_seed
from automl_transfer.stages.rounds import Round, planned, predicted, withheld
from automl_transfer.withheld import Withheld

NAME = "confirm"
FOLDS, FOLDS_TUNED = 10, 5
"""Ten: the models that are scored learn from nearly as much as the one that is delivered. Five
where a fine-tune is among the finalists, which costs a training each."""
REPEATS = 3
"""Of the cross-validation, where there is no test part and nothing is fine-tuned."""
WITHOUT_CLOCK = 2
"""Folds that are done without a time budget where a fine-tune is among the finalists, and there is
a test part."""
ENOUGH = 10_000
"""Samples scored, beyond which more folds say next to nothing more (a share of them has a standard
error of half a point at most), where the answer has a test part of its own."""
SHARE, SHARE_ALONE = 0.08, 0.12
"""Of a time budget, kept at the most for this stage; more where the answer's own score comes from
it."""
MARGIN = 1.2
"""A fold is begun only if this many times its predicted time is left."""
NOTHING = 0.05
"""Of the time of a fold: a finalist that takes less is not set aside."""
_SALT = 1 << 20
"""Numbers of trials end below it: seeds of folds are none of a trial's."""
_HALVED = 1 << 16
"""As much further on are the seeds of models that learn from a half."""

Ending = Callable[[Sequence[Outcome]], float]
"""Seconds to leave for the end of the search if any of these may win."""


@dataclass(kw_only=True)
class Confirmed:
    """Finalists, and what they predicted for samples that they had not learnt from."""

    rows: list[Outcome]
    positions: NDArray[np.int64]
    """Samples that all of them predicted, ascending, shape (n,)."""
    probabilities: list[Probabilities]
    """One a finalist, shape (repeats, n, c)."""
    rounds: list[Round]
    """Those that all of them went through, with as little withheld as possible."""
    withheld: Withheld | None = None
    """What is known of learning from less; None: there is a test part, or was no time."""
    compared: Comparison | None = None
    rule: Rule | None = None
    """By which one of them was chosen."""

    @property
    def learnt(self) -> float:
        """Samples that a model of :attr:`rounds` learnt from, on average."""
        return float(np.mean([len(one.learn) for one in self.rounds]))

    @property
    def folds(self) -> int:
        """How many different ones were gone through."""
        return len({one.fold for one in self.rounds})

    @property
    def repeats(self) -> int:
        """How often each sample was predicted."""
        return 1 + max(one.repeat for one in self.rounds)


def confirm(context: Context, reserve: Ending) -> Iterator[Event]:
    """Trains the finalists again; leaves :class:`Confirmed` in the context.

    Args:
        context: After all trials.
        reserve: What to leave for the end of the search.
    """
    context.confirmed = None
    best = usable(context, finished(context.outcomes))
    if not best or context.answered:
        return
    rows, aside = _finalists(context, best, reserve)
    if not rows and not aside:
        return
    detail = f"{len(rows)} finalists on fresh folds" if rows else "no time for fresh folds"
    yield StageStarted(stage=NAME, detail=detail)
    rounds = plan_rounds(context, rows) if rows else []
    session = _Session(context, rows, rounds, reserve)
    for place, one in enumerate(rounds):
        yield Progress(what="fresh folds", done=place, total=len(rounds))
        if not session.fits(one) or not session.do(one):
            break
    context.confirmed = session.result()
    if context.confirmed is not None and (aside := [*aside, *session.too_late]):
        text = _told(context, aside, rounds[0])
        context.notes.append(text)
        yield Note(text=text)
    for number, text in session.dropped.items():
        context.failed_again.add(number)
        context.notes.append(text)
        yield Note(text=text, level="warning")
    if context.confirmed is None and session.dropped and session.all_failed:
        text = (
            "No finalist could be trained again: the answer is the best on the validation part of "
            "the others, if there are any, and its score is that on which it was chosen."
        )
        context.notes.append(text)
        yield Note(text=text, level="warning")
    elif context.confirmed is None:
        text = (
            "There was no time to train the finalists again on fresh folds: their scores are "
            "those of the validation part, on which they were chosen. A larger --budget confirms "
            "them."
        )
        context.notes.append(text)
        yield Note(text=text)


def _finalists(
    context: Context, best: Sequence[Outcome], reserve: Ending
) -> tuple[list[Outcome], list[Outcome]]:
    """Finalists for which there is time, and those whose places others take for lack of it."""
    ranked = contenders(context, best)
    rows, aside = _in_time(context, choose_finalists(context, ranked), reserve)
    late = aside
    while rows and late:
        ranked = [row for row in ranked if row not in late]
        rows, late = _in_time(context, choose_finalists(context, ranked), reserve)
    return rows, aside


def _in_time(
    context: Context, rows: list[Outcome], reserve: Ending
) -> tuple[list[Outcome], list[Outcome]]:
    """Those for a fold of which there is time, and those that are set aside for them.

    The slowest go first, but never the best of the validation part: the others could only be
    compared with each other, and of it a model is kept. Nor those that take next to nothing: that
    would change nothing.
    """
    if context.request.budget_seconds is None or not rows:
        return rows, []
    first = plan_rounds(context, rows)[0]
    takes = {row.number: again_seconds(context, row, len(first.learn)) for row in rows}
    kept, best = list(rows), leader(rows)
    while (needed := MARGIN * _predicted(context, kept, first)) > (
        context.watch.left - reserve(kept)
    ):
        others = [row for row in kept if row is not best]
        slowest = max(others, key=lambda row: takes[row.number], default=None)
        if slowest is None or takes[slowest.number] < NOTHING * needed:
            return [], rows
        kept.remove(slowest)
    return kept, [row for row in rows if row not in kept]


def _predicted(context: Context, rows: Sequence[Outcome], one: Round) -> float:
    """Seconds of a round before any has been done."""
    return 1.0 + sum(again_seconds(context, row, len(one.learn)) for row in rows)


def _told(context: Context, aside: Sequence[Outcome], one: Round) -> str:
    named = ", ".join(
        f"trial {row.number} ({row.configuration.title}; about "
        f"{again_seconds(context, row, len(one.learn)):.0f} s a fold)"
        for row in aside
    )
    return (
        f"Not all finalists could be trained again on fresh folds in the time that was left: "
        f"{named} {'was' if len(aside) == 1 else 'were'} set aside, and the answer is one of the "
        "others. A larger --budget compares them all."
    )


def plan_rounds(context: Context, rows: Sequence[Outcome]) -> list[Round]:
    """The folds, in the order in which they are gone through."""
    splits, seed = context.splits, context.request.seed
    tuned = not all(context.is_frozen(row.configuration) for row in rows)
    held_out = bool(len(splits.test))
    repeats = 1 if held_out or tuned else REPEATS
    count = FOLDS_TUNED if tuned else FOLDS
    found = planned(
        context.dataset.labels,
        splits.units,
        splits.development,
        splits.train,
        seed=trial_seed(seed, 2 * _SALT),
        folds=count,
        repeats=repeats,
        halves=not held_out,
        enough=ENOUGH if held_out else None,
    )
    if tuned and held_out and context.request.budget_seconds is None:
        return found[:WITHOUT_CLOCK]
    return found


class _Session:
    """Goes through rounds, as many as there is time for."""

    def __init__(
        self,
        context: Context,
        rows: Sequence[Outcome],
        plan: Sequence[Round],
        reserve: Ending,
    ) -> None:
        self._context = context
        self._planned = Counter(one.repeat for one in plan if not one.halved)
        self._rows = list(rows)
        self._reserve = reserve
        self._done: list[tuple[Round, dict[int, Probabilities]]] = []
        self._spent = 0.0
        self.dropped: dict[int, str] = {}
        self.too_late: list[Outcome] = []
        """For which the time ran out in the first round."""

    @property
    def all_failed(self) -> bool:
        """Whether no finalist is left."""
        return not self._rows

    def fits(self, one: Round) -> bool:
        """Whether there is time for it."""
        if self._context.request.budget_seconds is None:
            return True
        left = self._context.watch.left - self._reserve(self._rows)
        each = (
            self._spent / len(self._done)
            if self._done
            else _predicted(self._context, self._rows, one)
        )
        return MARGIN * each <= left

    def do(self, one: Round) -> bool:
        """Trains all finalists on a fold; False if the time ran out or none is left."""
        from automl_transfer.training.run import OutOfTimeError

        started = time.monotonic()
        found: dict[int, Probabilities] = {}
        for place, (group, frozen) in enumerate(self._groups()):
            number = _SALT + 1000 * one.repeat + 100 * one.fold + place
            number += _HALVED if one.halved else 0
            seed = trial_seed(self._context.request.seed, number)
            try:
                results = self._trained(group, one, seed, frozen)
            except OutOfTimeError as error:
                results = [error]
            if any(isinstance(result, OutOfTimeError) for result in results):
                if self._done or not self._goes_on_with(found):
                    return False
                break
            for row, result in zip(group, results, strict=True):
                if not isinstance(result, Exception) and np.isfinite(result).all():
                    found[row.number] = result
                elif not one.halved:
                    # Half of the samples may be too few where nearly all of them are enough.
                    self._drop(row, result)
        if not self._rows:
            return False
        self._done.append((one, found))
        self._spent += time.monotonic() - started
        return True

    def _goes_on_with(self, found: Mapping[int, Probabilities]) -> bool:
        """Sets those aside for which the time ran out, if the best is not among them."""
        if not self._rows or leader(self._rows).number not in found:
            return False
        self.too_late = [row for row in self._rows if row.number not in found]
        self._rows = [row for row in self._rows if row.number in found]
        return True

    def _groups(self) -> list[tuple[list[Outcome], bool]]:
        """Heads of one backbone together, fine-tunes one by one, the best of the validation part
        before the others: without it nothing is compared."""
        heads: dict[str, list[Outcome]] = {}
        tuned: list[list[Outcome]] = []
        best = leader(self._rows)
        for row in sorted(self._rows, key=lambda row: row is not best):
            if self._context.is_frozen(row.configuration):
                heads.setdefault(row.configuration.backbone, []).append(row)
            else:
                tuned.append([row])
        return [(group, True) for group in heads.values()] + [(group, False) for group in tuned]

    def _trained(
        self, group: list[Outcome], one: Round, seed: int, frozen: bool
    ) -> Sequence[Probabilities | Exception]:
        from automl_transfer.training.run import OutOfTimeError

        context = self._context
        candidate = context.candidates[group[0].configuration.backbone]
        end = self._reserve(self._rows)

        def late() -> bool:
            return context.watch.left <= end

        if frozen:
            return heads_again(
                context,
                candidate,
                group,
                learn=one.learn,
                score=one.score,
                seed=seed,
                should_stop=late,
            )
        try:
            with staying("A finalist"):
                result = tuned_again(
                    context,
                    candidate,
                    group[0],
                    learn=one.learn,
                    score=one.score,
                    seed=seed,
                    should_stop=late,
                )
            return [result]
        except OutOfTimeError:
            raise
        except Exception as error:  # a finalist that fails must not cost the answer
            return [error]

    def _drop(self, row: Outcome, result: Probabilities | Exception) -> None:
        error = (
            result if isinstance(result, Exception) else TrialError("A prediction is no number.")
        )
        self._rows = [other for other in self._rows if other.number != row.number]
        self.dropped[row.number] = (
            f"Trial {row.number} ({row.configuration.title}) failed when it was trained again, "
            f"and is not recommended: {reason_of(error)}"
        )

    def result(self) -> Confirmed | None:
        """What was done: whole repeats, or the folds that there are of the first."""
        rounds = [(one, made) for one, made in self._done if not one.halved]
        halves = [(one, made) for one, made in self._done if one.halved]
        if not len(self._context.splits.test):
            done = Counter(one.repeat for one, _ in rounds)
            whole = [repeat for repeat in sorted(done) if done[repeat] == self._planned[repeat]]
            # Of a first repeat that is not whole, what is there: fewer samples, as fairly scored.
            whole = whole or [0]
            rounds = [
                (replace(one, repeat=whole.index(one.repeat)), made)
                for one, made in rounds
                if one.repeat in whole
            ]
        if not rounds or not self._rows:
            return None
        return Confirmed(
            rows=self._rows,
            positions=np.sort(np.concatenate([one.score for one, _ in rounds if not one.repeat])),
            probabilities=[predicted(rounds, row.number) for row in self._rows],
            rounds=[one for one, _ in rounds],
            withheld=withheld(
                [(one, self._kept(made)) for one, made in rounds],
                halves,
                len(self._context.splits.development),
            ),
        )

    def _kept(self, made: Mapping[int, Probabilities]) -> dict[int, Probabilities]:
        """Of the finalists that have not been dropped since."""
        return {row.number: made[row.number] for row in self._rows}
