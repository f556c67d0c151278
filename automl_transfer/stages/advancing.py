"""A fine-tuning trial from one rung to the next, in whichever process."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import StudyError, reason_of
from automl_transfer.events import Note, Progress
from automl_transfer.outcome import Outcome
from automl_transfer.stages.context import Bench, Context
from automl_transfer.stages.evaluate import Stop, arguments
from automl_transfer.stages.following import followed, usual_hang

if TYPE_CHECKING:
    from automl_transfer.training.run import EpochReport
    from automl_transfer.training.tuning import Tuning


HELD_BYTES = 1 << 30
"""Of a batch's trials between rungs; larger ones wait on disk, one of them in memory at a time."""
STATES = 7
"""Copies of a network's parameters that a trial holds: weights, gradients, two moments, and what
its two checkpoints have of them."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A trial is on its way to a rung."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """It is there (with a report), it failed (with a reason), or the time is over (neither)."""

    number: int
    device: str
    seconds: float
    """Since it was begun."""
    report: EpochReport | None = None
    step_seconds: float | None = None
    """Median of a step, if it was measured."""
    reason: str | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether the time was over before the rung was reached."""
        return self.report is None and self.reason is None


Step: TypeAlias = Begun | Ended | Progress | Note
"""What happens while trials advance."""


@dataclass(kw_only=True)
class OpenTrial:
    """A trial of a batch."""

    row: Outcome
    probabilities: NDArray[np.float32] | None = None
    tuning: Tuning | None = None

    @property
    def alive(self) -> bool:
        """Whether it may go on."""
        return self.row.state == "running"


def parked_at(trial: Path, steps: int) -> Path:
    """Where a trial lies after a rung. Each rung has a place of its own: a kill between the
    writing of one and the row that says so leaves the one before as it was.

    Args:
        trial: Directory of the trial.
        steps: Of the rung.
    """
    return trial / f"{steps:08d}"


AMID = "amid"
"""Where a trial lies on its way to a rung, beside its rungs."""


def _park(tuning: Tuning, trial: Path, rung: int) -> None:
    tuning.save(parked_at(trial, rung))
    shutil.rmtree(trial / AMID, ignore_errors=True)


def begin(bench: Bench, row: Outcome, ladder: tuple[int, ...], stop: Stop) -> Tuning:
    """The training of a trial from its beginning."""
    from automl_transfer.training.tuning import Tuning

    return Tuning(**_options(bench, row, ladder, stop))


def unparked(
    bench: Bench, row: Outcome, ladder: tuple[int, ...], stop: Stop, trial: Path
) -> Tuning:
    """The training of a trial from where its row says that it is.

    Raises:
        StudyError: Its checkpoint is missing or damaged, or of another trial.
    """
    from automl_transfer.training.tuning import Tuning

    options = _options(bench, row, ladder, stop)
    with contextlib.suppress(StudyError):
        further = Tuning.load(trial / AMID, **options)
        if further.step == row.steps:
            return further
    return Tuning.load(parked_at(trial, row.steps), **options)


def _options(bench: Bench, row: Outcome, ladder: tuple[int, ...], stop: Stop) -> dict[str, Any]:
    candidate = bench.candidates[row.configuration.backbone]
    options = arguments(
        bench,
        candidate,
        row.configuration,
        train_on=bench.splits.train,
        evaluate_on=bench.splits.val,
        seed=row.seed,
        should_stop=stop,
    )
    return options | {"backbone": candidate.build, "ladder": ladder}


def here(
    context: Context,
    trials: Sequence[OpenTrial],
    ladder: tuple[int, ...],
    rung: int,
    stop: Stop,
    parked: Callable[[int], Path],
    beside: Sequence[OpenTrial] = (),
) -> Generator[Step, None, None]:
    """Advances trials in this process, one after the other.

    Args:
        context: Of the search.
        trials: At earlier rungs.
        ladder: All rungs.
        rung: Which they are to reach.
        stop: Whether the time is over.
        parked: Directory of a trial, by its number.
        beside: Others that may be held in memory.

    Yields:
        What happens; ends after a trial that ran out of time.
    """
    from automl_transfer.training.run import OutOfTimeError

    for trial in trials:
        number, started = trial.row.number, time.monotonic()
        report = step_seconds = reason = None
        yield Begun(number=number)
        try:
            tuning = trial.tuning = trial.tuning or taken_up(
                context, trial.row, ladder, stop, parked(number)
            )
            report = yield from _watched(tuning, rung, number, parked(number) / AMID)
            step_seconds = tuning.seconds_per_step
            # At the last rung too: the others may be on their way there for long.
            heavy = _bytes(context, beside or trials) > HELD_BYTES
            if rung < ladder[-1] or trial is not trials[-1] or beside or heavy:
                try:
                    _park(tuning, parked(number), rung)
                    if heavy:
                        trial.tuning = None
                except OSError as error:
                    # It goes on in memory; after a kill it would begin again.
                    unsaved = f"Trial {number} could not be kept at step {rung}: {error}."
                    yield Note(text=unsaved, level="warning")
        except OutOfTimeError:
            pass
        except (Exception, SystemExit) as error:
            report, reason = None, reason_of(error)
        yield Ended(
            number=number,
            device=str(context.device),
            seconds=time.monotonic() - started,
            report=report,
            step_seconds=step_seconds,
            reason=reason,
        )
        if report is None and reason is None:
            return


def carried_out(
    bench: Bench,
    row: Outcome,
    ladder: tuple[int, ...],
    rung: int,
    parked: Path,
    stop: Stop,
    on_step: Callable[[int, int], None],
    before_saving: Callable[[], None] = lambda: None,
    passed_on: Callable[[BaseException], bool] = lambda _: False,
) -> Ended:
    """Takes a trial to a rung in a process that has nothing else to do, and parks it there.

    Args:
        bench: With the trial's backbone.
        row: Where it is.
        ladder: All rungs.
        rung: Which it is to reach.
        parked: Directory of the trial.
        stop: Whether the time is over.
        on_step: Called after each step with its number and that of the rung.
        before_saving: Called before the trial is parked.
        passed_on: Whether an error is not the trial's.

    Raises:
        BaseException: What is passed on, or what one of the functions raised to leave.
    """
    from automl_transfer.training.run import OutOfTimeError

    started = time.monotonic()
    report = step_seconds = reason = None
    try:
        try:
            tuning = taken_up(bench, row, ladder, stop, parked)
        except StudyError:
            # Without its checkpoint it starts again, and comes to the same result.
            tuning = begin(bench, row, ladder, stop)
        report = tuning.advance(rung, on_step, parked / AMID)
        before_saving()
        _park(tuning, parked, rung)
        step_seconds = tuning.seconds_per_step
    except OutOfTimeError:
        report = None
    except (Exception, SystemExit) as error:
        if passed_on(error):
            raise
        report, reason = None, reason_of(error)
    return Ended(
        number=row.number,
        device=str(bench.device),
        seconds=time.monotonic() - started,
        report=report,
        step_seconds=step_seconds,
        reason=reason,
    )


def taken_up(
    bench: Bench, row: Outcome, ladder: tuple[int, ...], stop: Stop, trial: Path
) -> Tuning:
    """Where it is: at the step it was kept at last, else at its last rung, else at its beginning.

    Raises:
        StudyError: Its row says that it has a rung, but that is missing or damaged.
    """
    if row.steps or (trial / AMID).is_dir():
        try:
            return unparked(bench, row, ladder, stop, trial)
        except StudyError:
            if row.steps:
                raise
    return begin(bench, row, ladder, stop)


def _bytes(context: Context, trials: Sequence[OpenTrial]) -> int:
    """Of the networks of trials and of what their optimisers and checkpoints hold of them."""
    return sum(
        STATES * 4 * context.candidates[trial.row.configuration.backbone].parameters
        for trial in trials
    )


def in_order(steps: Iterator[Step], numbers: Sequence[int]) -> Iterator[Step]:
    """The same, with the ends of trials held back until those before them have ended.

    Args:
        steps: Of trials that advance at once.
        numbers: Of the trials, in the order wanted.
    """
    waiting, ended = list(numbers), dict[int, Ended]()
    for step in steps:
        if not isinstance(step, Ended):
            yield step
            continue
        ended[step.number] = step
        while waiting and waiting[0] in ended:
            yield ended.pop(waiting.pop(0))


def _watched(
    tuning: Tuning, rung: int, number: int, amid: Path
) -> Generator[Progress, None, EpochReport]:
    """Trains to a rung, and tells how far it is meanwhile."""
    return (
        yield from followed(
            f"trial {number}, steps",
            lambda told: tuning.advance(rung, told, amid),
            usual_hang(),
        )
    )
