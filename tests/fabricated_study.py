"""Studies that no search has made: rows, documents and answers written through the store."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.configuration import Configuration
from automl_transfer.events import BackboneScreened, DataLoaded
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome, finished
from automl_transfer.recommendation import (
    Baseline,
    ConfidentError,
    Confirmation,
    Cost,
    Exclusion,
    Finalist,
    HeldOutScore,
    Interval,
    RankedTrial,
    Recommendation,
    ReliabilityBin,
)
from automl_transfer.request import SearchRequest
from automl_transfer.store import Store

HOSTILE = "\x1b[2Jev[/b]il|`x`\n## <script>alert(1)</script>\u202e"
"""A name that tries the terminal, rich, Markdown and HTML."""
CLASSES = ("cat", "dog", "owl")


def outcome(number: int, value: float | None = None, **changes: Any) -> Outcome:
    """A trial; finished when it has a value."""
    usual = Outcome(
        number=number,
        stage="tune" if number % 2 else "heads",
        configuration=Configuration(
            backbone="acme/big" if number % 2 else "acme/small",
            head="linear",
            strategy="full" if number % 2 else "frozen",
            params={"head/linear/weight_decay": 1e-4, "training/batch_size": 32},
        ),
        state="failed" if value is None else "finished",
        reason="error: the disk is full" if value is None else None,
        value=value,
        metrics={} if value is None else {"accuracy": value, "neg_log_loss": -0.25},
        curve=tuple(
            CurvePoint(epoch=epoch, value=value - (3 - epoch) / 10, loss=1 / epoch, seconds=epoch)
            for epoch in (1, 2, 3)
        )
        if value is not None
        else (),
        epochs=3,
        seconds=12.0,
        proof=FreezeProof(
            trainable_parameters=12_800, total_parameters=3_400_000, frozen_tensors=7
        ),
        providers={"acme/big": "acme 1.2"},
    )
    return replace(usual, **changes)


def ranking(outcomes: list[Outcome]) -> tuple[RankedTrial, ...]:
    return tuple(
        RankedTrial(
            rank=rank,
            number=row.number,
            stage=row.stage,
            configuration=row.configuration,
            value=row.value or 0.0,
            interval=Interval(low=(row.value or 0) - 0.05, high=(row.value or 0) + 0.05),
            seconds=row.seconds,
            trainable_parameters=12_800,
            total_parameters=3_400_000,
        )
        for rank, row in enumerate(finished(outcomes), start=1)
    )


def recommendation(
    outcomes: list[Outcome], classes: tuple[str, ...] = CLASSES, **changes: Any
) -> Recommendation:
    """An answer over these trials."""
    rows = ranking(outcomes)
    count = len(classes)
    report: dict[str, Any] = {
        name: {"precision": 0.9, "recall": 0.8, "f1-score": 0.85, "support": 10.0}
        for name in (*classes, "macro avg", "weighted avg")
    }
    usual = Recommendation(
        study="finished",
        metric="accuracy",
        metric_reason="the classes are of similar size (ratio 1.1)",
        winner=rows[0],
        refitted=True,
        refit_reason="trained again on train and validation together",
        test=HeldOutScore(
            value=0.91,
            interval=Interval(low=0.85, high=0.95),
            metrics={"accuracy": 0.91},
            samples=10 * count,
            report={**report, "accuracy": 0.91},
            report_text="precision recall as scikit-learn prints them",
            confusion=tuple(
                tuple(9 if row == column else 1 for column in range(count)) for row in range(count)
            ),
            openings=1,
        ),
        baselines=(
            Baseline(name="majority class", description=f"always {classes[0]!r}", value=0.34),
            Baseline(name="kNN on raw inputs", description="5 nearest", value=0.5),
            Baseline(name="kNN on frozen features", description="5 nearest", value=0.8),
        ),
        ranking=rows,
        trials=Counter(row.state for row in outcomes),
        why_not=(Exclusion(what="timm/huge", reason="more than --max-params"),),
        notes=("Two files were skipped.",),
        seconds=95.0,
        budget="5m",
        command="automl-transfer search --data /data/pets --study finished --budget 5m",
        model="model",
        provenance={"versions": {"python": "3.11"}, "seed": 0},
    )
    return replace(usual, **changes)


def finalist(
    row: Outcome, value: float, behind: tuple[float, float] | None, latency: float | None
) -> Finalist:
    """A trial, confirmed; tied unless it is behind by more than nothing."""
    return Finalist(
        number=row.number,
        configuration=row.configuration,
        selected_on=row.value or 0.0,
        value=value,
        interval=Interval(low=value - 0.02, high=value + 0.02),
        p_best=0.62 if behind is None else 0.005 if behind[0] > 0 else 0.19,
        behind=None if behind is None else Interval(low=behind[0], high=behind[1]),
        tied=behind is None or behind[0] <= 0,
        cost=None
        if latency is None
        else Cost(
            latency=latency,
            latency_batch=10 * latency,
            batch=32,
            bytes=13_600_000,
            memory=55_000_000,
            parameters=3_400_000,
            training=12.0,
            device="cpu",
        ),
    )


def confirmation(*finalists: Finalist, winner: int | None = None) -> Confirmation:
    return Confirmation(
        finalists=finalists,
        winner=finalists[0].number if winner is None else winner,
        samples=80,
        folds=5,
        repeats=2,
        minimum_detectable=0.021,
        prefer="latency",
        reason="the fastest of those between which no difference is shown",
    )


def confirmed(outcomes: list[Outcome], **changes: Any) -> Recommendation:
    """An answer with everything: the three best trials are the finalists, and the second of them
    wins by its latency; the third is shown to be behind."""
    best, second, third = finished(outcomes)[:3]
    usual = recommendation(outcomes)
    test = replace(
        usual.test,
        metrics={"accuracy": 0.91, "neg_ece": -0.043},
        reliability=(
            ReliabilityBin(confidence=0.45, accuracy=0.5, count=4),
            ReliabilityBin(confidence=0.95, accuracy=0.9, count=26),
        ),
        errors=(
            ConfidentError(source="cat/1.png", true=0, predicted=2, confidence=0.987),
            ConfidentError(source="dog/2.png", true=1, predicted=0, confidence=0.81),
        ),
    )
    return replace(
        usual,
        **{
            "winner": next(row for row in usual.ranking if row.number == second.number),
            "test": test,
            "confirmation": confirmation(
                finalist(best, 0.930, None, 0.0284),
                finalist(second, 0.925, (-0.010, 0.020), 0.0031),
                finalist(third, 0.860, (0.031, 0.109), 0.0095),
            ),
            "baselines": (
                *usual.baselines,
                Baseline(
                    name="plain default fine-tune",
                    description="acme/small, full",
                    value=0.89,
                    gain=Interval(low=-0.005, high=0.045),
                ),
                Baseline(
                    name="winner from scratch",
                    description="acme/small without its weights",
                    value=0.61,
                    gain=Interval(low=0.22, high=0.38),
                ),
            ),
        }
        | changes,
    )


def loaded(classes: tuple[str, ...] = CLASSES) -> DataLoaded:
    return DataLoaded(
        modality="image",
        layout="class folders",
        classes=classes,
        counts={"train": 60, "val": 20, "test": 30},
        quarantined=2,
        metric="accuracy",
        metric_reason="the classes are of similar size (ratio 1.1)",
        split_description="stratified, seed 0",
    )


def write_study(
    studies: Path,
    name: str,
    outcomes: list[Outcome],
    *,
    state: str = "interrupted",
    answer: Recommendation | None = None,
    classes: tuple[str, ...] = CLASSES,
    running: tuple[Outcome, ...] = (),
    backbone: str = "acme/big",
    heard: float | None = None,
) -> StudyDirectory:
    """Writes a study as a search does, without searching."""
    files = StudyDirectory(studies / name)
    request = SearchRequest(
        data="/data/pets", study=name, studies=str(studies), budget_seconds=300.0
    )
    files.write_request(request, {"seed": 0})
    store = Store(files.database_url, name, create=True)
    for row in outcomes:
        store.append(row)
    for row in running:
        store.set_running(row)
    store.put("data", to_json(loaded(classes)))
    store.put(
        "screen",
        [
            to_json(
                BackboneScreened(
                    backbone=backbone,
                    score=0.87,
                    ranker="knn",
                    seconds=2.0,
                    samples=80,
                    cached=False,
                )
            )
        ],
    )
    store.put("why_not", [{"what": "timm/huge", "reason": "more than --max-params"}])
    store.put(
        "status",
        {"state": state, "stage": "tune", "updated": time.time() if heard is None else heard},
    )
    if answer is not None:
        files.write_recommendation(replace(answer, study=name))
    store.close()
    return files
