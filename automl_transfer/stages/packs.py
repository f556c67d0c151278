"""Head-only trials on cached features: closed-form ones at once, iterative ones by the pack."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.configuration import Configuration
from automl_transfer.contracts import Backbone
from automl_transfer.errors import DivergedError, PluginError, TrialError
from automl_transfer.events import Event, Progress, TrialEnded, TrialReported, TrialStarted
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome
from automl_transfer.scoring import score, scores
from automl_transfer.stages.checkpoint import keep_best
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.halving import behind, epochs_together
from automl_transfer.stages.head_building import (
    class_weights,
    head_builder,
    head_run,
    train_together,
)
from automl_transfer.stages.rows import begun, checked, failed, store

if TYPE_CHECKING:
    from torch import nn

    from automl_transfer.training.frozen import FrozenFeatures
    from automl_transfer.training.packed import HeadReport, HeadResult

NAME = "heads"
SPEED = "epoch of a head in a pack"
"""Measured: seconds of an epoch of one head for each number in the features it learns from."""
PACK_MARGIN = 1.3
"""A pack is begun with so many heads that this many times its predicted time is left."""
BEST = 8
"""A trial's predictions are kept in any case while it is among so many best of the search."""


@dataclass(kw_only=True)
class _Trial:
    row: Outcome
    build: Callable[[], nn.Module] | None = None
    head: Any = None
    probabilities: NDArray[np.float32] | None = None
    curve: list[CurvePoint] = field(default_factory=list)


def fitting_heads(context: Context, width: float, count: int, seconds: float, kinds: int) -> int:
    """Of so many heads on a backbone, how many a pack may have to end within ``seconds``.

    Args:
        context: Of the search.
        width: Numbers that a head reads of a sample, on average.
        count: Heads that are wanted.
        seconds: That there are.
        kinds: Of how many kinds they are, as many of each.
    """
    each = context.speeds.get(SPEED)
    if each is None or not math.isfinite(seconds):
        return count
    epoch = PACK_MARGIN * each * _numbers(context, width)
    fitting = (
        heads
        for heads in range(count, 0, -1)
        if epoch * min(kinds, heads) * epochs_together(math.ceil(heads / kinds)) <= seconds
    )
    return next(fitting, 0)


def _numbers(context: Context, width: float) -> float:
    """In features that are so wide, of the samples that heads learn from."""
    return len(context.splits.train) * width


class HeadTrials:
    """Trials of heads on the frozen features of one backbone."""

    def __init__(self, context: Context, candidate: Candidate) -> None:
        from automl_transfer.training.frozen import FrozenFeatures

        self._context = context
        self._candidate = candidate
        splits, targets = context.splits, context.dataset.targets
        self._targets = targets[splits.val]
        self._data: FrozenFeatures = FrozenFeatures.scaled(
            candidate.features,
            candidate.places(splits.train),
            targets[splits.train],
            candidate.places(splits.val),
            context.files.path,
            candidate.widths,
        )

    def closed_form(self, configurations: Sequence[Configuration]) -> Iterator[Event]:
        """Fits heads by their formula, a trial each, stored one by one."""
        for configuration in configurations:
            trial = self._begin(configuration, self._context.next_number)
            yield TrialStarted(number=trial.row.number, stage=NAME, configuration=configuration)
            started = time.monotonic()
            self._fit(trial)
            trial.row = replace(trial.row, seconds=time.monotonic() - started)
            store(self._context, [trial.row])
            yield from self._told([trial])

    def pack(
        self,
        asked: Sequence[tuple[int, Configuration]],
        should_stop: Callable[[], bool],
    ) -> Iterator[Event]:
        """Trains iterative heads together; all rows are stored at once.

        Those that a formula fits, but with parameters to search over, are fitted one by one.

        Args:
            asked: Numbers and configurations.
            should_stop: Looked at after each step; what has not ended then, is pruned.
        """
        context, started = self._context, time.monotonic()
        trials = [self._begin(configuration, number) for number, configuration in asked]
        runs, running = [], []
        for trial in trials:
            if trial.build is None:
                continue
            if context.head(trial.row.configuration.head).closed_form:
                self._fit(trial)
                continue
            configuration, seed = trial.row.configuration, trial.row.seed
            try:
                runs.append(head_run(context, configuration, trial.build, self._data, seed))
            except (Exception, SystemExit) as error:
                trial.row = failed(trial.row, error)
                continue
            running.append(trial)
        begun_runs = time.monotonic()
        steps = train_together(
            context, runs, self._data, seed=context.request.seed, should_stop=should_stop
        )
        stop: list[int] | None = None
        results: Sequence[HeadResult] = ()
        while runs:
            try:
                reports = steps.send(stop) if stop is not None else next(steps)
            except StopIteration as end:
                results = end.value
                break
            for report in reports:
                running[report.run].curve.append(self._point(report))
            kinds = [trial.row.configuration.kind for trial in running]
            stop = behind(reports, [trial.curve for trial in running], kinds)
            last = max((report.epoch for report in reports), default=0)
            total = max((report.epochs for report in reports), default=0)
            yield Progress(
                what=f"{len(runs)} heads on {self._candidate.card.id}", done=last, total=total
            )
        for result in results:
            self._settle(running[result.run], result, started)
        ended, epochs = time.monotonic(), sum(result.epochs for result in results)
        if epochs and not should_stop():
            numbers = epochs * _numbers(context, self._candidate.width)
            context.speeds.put((ended - begun_runs) / numbers, SPEED)
        own = {running[result.run].row.number: result.seconds for result in results}
        beside = (ended - started - sum(own.values())) / max(1, len(trials))
        for trial in trials:
            seconds = own.get(trial.row.number, 0.0) + max(0.0, beside)
            trial.row = replace(trial.row, seconds=seconds)
        store(self._context, [trial.row for trial in trials])
        for trial in trials:
            yield TrialStarted(
                number=trial.row.number, stage=NAME, configuration=trial.row.configuration
            )
            yield from self._told([trial])

    def _begin(self, configuration: Configuration, number: int) -> _Trial:
        """A trial, and how to build its head; failed already if its plan or head cannot be."""
        context = self._context
        trial = _Trial(row=begun(context, configuration, number, NAME))
        try:
            plan = context.registry.load(context.strategy(configuration.strategy))(
                stages=self._candidate.views,
                params=configuration.of("strategy", configuration.strategy),
            )
            if plan.trains_backbone or plan.start != "pretrained":
                raise PluginError(
                    "A strategy whose card says trains_backbone=False must return a plan that "
                    f"trains no stage of the pretrained network, but {configuration.strategy!r} "
                    "does not."
                )
            trial.build = partial(head_builder(context, configuration), self._candidate.width)
        except (Exception, SystemExit) as error:
            trial.row = failed(trial.row, error)
        return trial

    def _fit(self, trial: _Trial) -> None:
        """Fits a head by its formula; on a frozen backbone that is all its training."""
        from automl_transfer.training.frozen import fitted

        if trial.build is None:
            return
        started = time.monotonic()
        try:
            weights = class_weights(self._context, trial.row.configuration, self._data)
            made = fitted(trial.build, self._data, trial.row.seed, self._context.link, weights)
            self._finish(trial, made.head, made.probabilities, 1, made.loss, started)
        except (Exception, SystemExit) as error:
            trial.row = failed(trial.row, error)

    def _point(self, report: HeadReport) -> CurvePoint:
        metric = self._context.task.metric
        value = float("nan")
        if np.isfinite(report.probabilities).all():
            value = score(report.probabilities, self._targets, metric)
        return CurvePoint(
            epoch=report.epoch, value=value, loss=float(report.loss), seconds=report.seconds
        )

    def _settle(self, trial: _Trial, result: HeadResult, started: float) -> None:
        from automl_transfer.training.run import OutOfTimeError

        trial.curve = [
            point for point in trial.curve if np.isfinite([point.value, point.loss]).all()
        ]
        if isinstance(result.error, OutOfTimeError):
            last = trial.curve[-1] if trial.curve else None
            trial.row = replace(
                trial.row,
                state="pruned",
                reason=f"the budget ended after epoch {last.epoch if last else 0}",
                value=last.value if last else None,
                epochs=last.epoch if last else 0,
                curve=tuple(trial.curve),
            )
            return
        if result.error is not None or result.head is None:
            trial.row = failed(
                replace(trial.row, curve=tuple(trial.curve)),
                result.error or TrialError("The head was not trained."),
            )
            return
        try:
            self._finish(
                trial, result.head, result.probabilities, result.epochs, result.loss, started
            )
        except DivergedError as error:
            trial.row = failed(trial.row, error)
            return
        if result.stopped:
            reason = f"behind the others of its kind after epoch {result.epochs}"
            trial.row = replace(trial.row, state="pruned", reason=reason)
            trial.head = None

    def _finish(
        self,
        trial: _Trial,
        head: nn.Module,
        probabilities: NDArray[np.float32],
        epochs: int,
        loss: float,
        started: float,
    ) -> None:
        from automl_transfer.training.frozen import size

        if not np.isfinite(probabilities).all():
            raise DivergedError("Every prediction must be finite, but some are not.")
        metrics = checked(scores(probabilities, self._targets))
        value = metrics[self._context.task.metric]
        if not trial.curve or trial.curve[-1].epoch < epochs:
            seconds = time.monotonic() - started
            trial.curve.append(CurvePoint(epoch=epochs, value=value, loss=loss, seconds=seconds))
        numbers = size(head)
        closed = self._context.head(trial.row.configuration.head).closed_form
        trial.head, trial.probabilities = head, probabilities
        trial.row = replace(
            trial.row,
            state="finished",
            value=value,
            metrics=metrics,
            epochs=epochs,
            curve=tuple(trial.curve),
            proof=FreezeProof(
                trainable_parameters=0 if closed else numbers,
                total_parameters=self._candidate.parameters + numbers,
                # Only its features were there: the network itself was never touched.
                frozen_tensors=sum(len(stage.tensors) for stage in self._candidate.stages),
            ),
        )

    def _told(self, trials: Sequence[_Trial]) -> Iterator[Event]:
        context = self._context
        for trial in trials:
            row = trial.row
            if trial.probabilities is not None:
                context.keep_predictions(
                    row.number, trial.probabilities, partial(self._is_among_best, row)
                )
            if row.curve:
                yield TrialReported(number=row.number, point=row.curve[-1], epochs=row.epochs)
            yield TrialEnded(outcome=row)
            if trial.head is not None:
                head = trial.head
                keep_best(context, row.number, lambda head=head: self._model(head))  # type: ignore[misc]

    def _is_among_best(self, row: Outcome) -> bool:
        from automl_transfer.outcome import finished

        return row.number in {best.number for best in finished(self._context.outcomes)[:BEST]}

    def _model(self, head: nn.Module) -> Any:
        from automl_transfer.training.frozen import assembled

        backbone: Backbone = self._candidate.build()
        return assembled(backbone, head, self._data.scaler, self._context.link)
