"""Evaluates one configuration: whatever happens in here ends that trial, never the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.configuration import Configuration
from automl_transfer.errors import AutomlTransferError, DivergedError, TrialError
from automl_transfer.events import Event, TrialEnded, TrialReported, TrialStarted
from automl_transfer.outcome import CurvePoint, Outcome
from automl_transfer.scoring import scores
from automl_transfer.stages.checkpoint import keep_best
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.proposals import Proposals, trial_seed

if TYPE_CHECKING:
    from automl_transfer.training.trial import EpochReport, TrialResult

Stop = Callable[[], bool]


def evaluate(
    context: Context,
    proposals: Proposals,
    configuration: Configuration,
    *,
    number: int,
    stage: str,
    epochs: int,
    should_stop: Stop,
) -> Iterator[Event]:
    """Trains and scores one configuration on the validation part, and stores the row; keeps the
    model if it is the best so far."""
    candidate = context.candidates[configuration.backbone]
    started = time.monotonic()
    row = Outcome(
        number=number,
        stage=stage,
        configuration=configuration,
        state="running",
        epochs=epochs,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=trial_seed(context.request.seed, number),
        device=str(context.device),
        generation=context.generation,
        providers=_providers(context, configuration),
        weights=candidate.weights.sha256 if candidate.weights else None,
    )
    context.store.set_running(row)
    yield TrialStarted(number=number, stage=stage, configuration=configuration)
    result: TrialResult | None = None
    try:
        run = train(
            context,
            candidate,
            configuration,
            train_on=context.splits.train,
            evaluate_on=context.splits.val,
            epochs=epochs,
            seed=row.seed,
            should_stop=should_stop,
        )
        row, result = yield from _follow(context, proposals, run, row, started)
    except TrialError as error:
        row = _broken_off(row, error)
    except (Exception, SystemExit) as error:  # a plugin's bug is that trial's, not the search's
        text = str(error) if isinstance(error, AutomlTransferError) else repr(error)
        row = replace(row, state="failed", reason=f"error: {text}"[:2000])
    row = replace(row, seconds=time.monotonic() - started)
    context.store.append(row)
    context.outcomes.append(row)
    proposals.tell(row)
    yield TrialEnded(outcome=row)
    if result is not None:
        keep_best(context, row.number, result.model)


def _follow(
    context: Context,
    proposals: Proposals,
    run: Generator[EpochReport, None, TrialResult],
    row: Outcome,
    started: float,
) -> Generator[Event, None, tuple[Outcome, TrialResult | None]]:
    labels = context.dataset.labels[context.splits.val]
    while True:
        try:
            report = next(run)
        except StopIteration as stop:
            result: TrialResult = stop.value
            break
        metrics = _checked(scores(report.probabilities, labels))
        point = CurvePoint(
            epoch=report.epoch,
            value=metrics[context.task.metric],
            loss=report.loss,
            seconds=time.monotonic() - started,
        )
        row = replace(
            row,
            curve=(*row.curve, point),
            metrics=metrics,
            value=point.value,
            epochs=report.epochs,
            seconds=point.seconds,
        )
        context.store.set_running(row)
        yield TrialReported(number=row.number, point=point, epochs=report.epochs)
        if proposals.report(point.value, report.epoch) and report.epoch < report.epochs:
            run.close()
            reason = f"behind the others after epoch {report.epoch} of {report.epochs}"
            return replace(row, state="pruned", reason=reason), None
    metrics = _checked(scores(result.probabilities, labels))
    context.files.write_predictions(row.number, result.probabilities)
    row = replace(
        row,
        state="finished",
        metrics=metrics,
        value=metrics[context.task.metric],
        epochs=result.epochs,
        proof=result.proof,
    )
    return row, result


def _checked(metrics: dict[str, float]) -> dict[str, float]:
    wrong = {name: value for name, value in metrics.items() if not np.isfinite(value)}
    if wrong:
        raise DivergedError(f"Every metric must be finite, but got {wrong}.")
    return metrics


def _broken_off(row: Outcome, error: TrialError) -> Outcome:
    if error.kind == "out-of-time":
        done = row.curve[-1].epoch if row.curve else 0
        return replace(
            row, state="pruned", reason=f"the budget ended after epoch {done} of {row.epochs}"
        )
    return replace(row, state="failed", reason=f"{error.kind}: {error}"[:2000])


def _providers(context: Context, configuration: Configuration) -> dict[str, str]:
    registry = context.registry
    return {
        configuration.backbone: registry.provider("backbone", configuration.backbone),
        configuration.head: registry.provider("head", configuration.head),
        configuration.strategy: registry.provider("strategy", configuration.strategy),
    }


def train(
    context: Context,
    candidate: Candidate,
    configuration: Configuration,
    *,
    train_on: NDArray[np.int64],
    evaluate_on: NDArray[np.int64] | None,
    epochs: int,
    seed: int,
    should_stop: Stop,
) -> Generator[EpochReport, None, TrialResult]:
    """Starts the training of a configuration on some positions of the data set."""
    from automl_transfer.training.trial import Part, Settings, run_trial

    registry = context.registry
    head_card = context.head(configuration.head)
    head_params = configuration.of("head", configuration.head)
    build_head = registry.load(head_card)
    classes = len(context.task.classes)
    strategy_card = context.strategy(configuration.strategy)
    plan = registry.load(strategy_card)(
        stages=candidate.views, params=configuration.of("strategy", configuration.strategy)
    )
    modality_params = configuration.of("modality", context.task.modality)
    rows = context.rows(context.encoder(candidate.card, modality_params))

    def part(positions: NDArray[np.int64]) -> Part:
        return Part(
            rows=rows,
            positions=positions,
            labels=context.dataset.labels[positions],
            features=candidate.features[positions],
        )

    return run_trial(
        backbone=candidate.build(),
        stages=candidate.stages,
        plan=plan,
        head=lambda width: build_head(width=width, classes=classes, params=head_params),
        head_lr=float(head_params.get("lr", 1e-2)),
        head_weight_decay=float(head_params.get("weight_decay", 1e-4)),
        closed_form=head_card.closed_form,
        classes=classes,
        train=part(train_on),
        evaluate=None if evaluate_on is None else part(evaluate_on),
        settings=Settings(
            epochs=epochs,
            batch_size=int(configuration.params.get("training/batch_size", 32)),
            label_smoothing=float(configuration.params.get("training/label_smoothing", 0.0)),
            seed=seed,
        ),
        device=context.device,
        should_stop=should_stop,
    )
