"""A study with as many trials as wanted, as a search would leave it, in seconds and without one.

For trying out what reads studies: its trials, data, answer and predictions are drawn at random.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.configuration import Configuration
from automl_transfer.dataset import Dataset, Sample, Splits
from automl_transfer.events import BackboneScreened, DataLoaded
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome, State, finished
from automl_transfer.recommendation import (
    Baseline,
    Confirmation,
    Cost,
    Finalist,
    HeldOutScore,
    Interval,
    RankedTrial,
    Recommendation,
)
from automl_transfer.request import SearchRequest
from automl_transfer.space import Scalar
from automl_transfer.store import Store

CLASSES = ("cat", "dog", "owl", "fox")
BACKBONES = tuple(f"made/net{place}" for place in range(6))
HEADS = ("linear", "mlp", "cosine", "ridge")
STRATEGIES = ("frozen", "last-stages", "norm-bias", "lora", "full")
_SAMPLES = {"train": 1200, "val": 400, "test": 400}


def write_large_study(
    studies: Path, name: str, trials: int, *, seed: int = 0, state: str = "finished"
) -> Path:
    """Writes a study.

    Args:
        studies: Directory of the studies; made if it is not there.
        name: Of the study.
        trials: How many.
        seed: Decides what is drawn.
        state: Of the search: ``finished``, ``interrupted``, ``running``.

    Returns:
        The study's directory.
    """
    generator = np.random.default_rng(seed)
    files = StudyDirectory(studies / name)
    request = SearchRequest(
        data="/data/made", study=name, studies=str(studies), budget_seconds=86_400.0
    )
    files.write_request(request, {"seed": seed, "versions": {"python": "3.11"}})
    dataset, splits = _data()
    files.write_manifest(dataset, splits)
    outcomes = [_outcome(number, generator) for number in range(trials)]
    answer = _answer(name, outcomes, _held_out(files, dataset, splits, generator))
    _predictions(files, answer, dataset, splits, generator)
    _map(files, dataset, splits, generator)
    store = Store(files.database_url, name, create=True)
    store.append(*outcomes)
    store.put("data", to_json(_loaded()))
    store.put("screen", [to_json(_screened(place)) for place in range(len(BACKBONES))])
    store.put("why_not", [{"what": "made/huge", "reason": "more than --max-params"}])
    store.put(
        "status",
        {
            "state": state,
            "stage": "recommend",
            "spent": 80_000.0,
            "budget": 86_400.0,
            "trials": None,
            "updated": time.time(),
        },
    )
    if state == "finished":
        files.write_recommendation(answer)
    store.close()
    return files.path


def _data() -> tuple[Dataset, Splits]:
    total = sum(_SAMPLES.values())
    samples = tuple(
        Sample(
            id=f"{number:064x}",
            source=f"{CLASSES[number % len(CLASSES)]}/{number}.png",
            label=number % len(CLASSES),
        )
        for number in range(total)
    )
    dataset = Dataset(
        modality="image",
        root="/data/made",
        classes=CLASSES,
        samples=samples,
        layout="class folders",
        quarantined=(),
    )
    train, val = _SAMPLES["train"], _SAMPLES["train"] + _SAMPLES["val"]
    splits = Splits(
        train=np.arange(train),
        val=np.arange(train, val),
        test=np.arange(val, total),
        description="stratified, seed 0",
    )
    return dataset, splits


def _outcome(number: int, generator: np.random.Generator) -> Outcome:
    place = int(generator.integers(len(BACKBONES)))
    strategy = str(generator.choice(STRATEGIES))
    head = str(generator.choice(HEADS))
    lr = float(10 ** generator.uniform(-4, -1))
    draw = generator.random()
    state: State = "finished" if draw < 0.85 else "pruned" if draw < 0.97 else "failed"
    top = 0.70 + 0.03 * place + 0.05 * (strategy == "full") + float(generator.normal(0, 0.03))
    top = min(top, 0.985)
    epochs = 10 if state == "finished" else int(generator.integers(1, 6))
    params: dict[str, Scalar] = {
        f"head/{head}/weight_decay": float(10 ** generator.uniform(-5, 0)),
        "training/batch_size": int(generator.choice([16, 32, 64])),
    }
    if strategy != "frozen":
        params[f"strategy/{strategy}/lr"] = lr
    curve = tuple(
        CurvePoint(
            epoch=epoch,
            value=round(top - 0.3 * 0.6**epoch, 4),
            loss=round(1.5 / epoch, 4),
            seconds=2.0 * epoch,
            step=40 * epoch,
        )
        for epoch in range(1, epochs + 1)
    )
    return Outcome(
        number=number,
        stage="heads" if strategy == "frozen" else "tune",
        configuration=Configuration(
            backbone=BACKBONES[place], head=head, strategy=strategy, params=params
        ),
        state=state,
        reason={
            "pruned": "below the top third at step 160",
            "failed": f"OutOfMemoryError: {place + 8} GiB at batch size 64",
        }.get(state),
        value=round(top, 4) if state == "finished" else None,
        metrics={"accuracy": round(top, 4), "neg_log_loss": -0.3} if state == "finished" else {},
        curve=() if state == "failed" else curve,
        epochs=10,
        steps=400,
        seconds=2.0 * epochs,
        started="2026-01-02T03:04:05+00:00",
        seed=number,
        device="cpu",
        proof=FreezeProof(
            trainable_parameters=40_000 * (1 + place),
            total_parameters=4_000_000 * (1 + place),
            frozen_tensors=118,
        )
        if state == "finished"
        else None,
        providers={BACKBONES[place]: "made 1.0"},
        weights="ab" * 32,
    )


def _held_out(
    files: StudyDirectory, dataset: Dataset, splits: Splits, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Writes what the winner predicted for the test part; gives its confusion matrix."""
    labels = dataset.labels[splits.test]
    found = _probabilities(labels, 0.93, generator)
    files.write_held_out(splits.test, found)
    count = len(CLASSES)
    pairs = np.bincount(labels * count + found.argmax(axis=1), minlength=count * count)
    return pairs.reshape(count, count)


def _map(
    files: StudyDirectory, dataset: Dataset, splits: Splits, generator: np.random.Generator
) -> None:
    positions = splits.development
    centres = generator.normal(0, 4, (len(CLASSES), 2))
    spread = generator.normal(0, 1, (len(positions), 2))
    files.write_map(positions, (centres[dataset.labels[positions]] + spread).astype(np.float32))


def _predictions(
    files: StudyDirectory,
    answer: Recommendation,
    dataset: Dataset,
    splits: Splits,
    generator: np.random.Generator,
) -> None:
    labels = dataset.labels[splits.val]
    for row in answer.ranking[:20]:
        files.write_predictions(row.number, _probabilities(labels, row.value, generator))


def _probabilities(
    labels: NDArray[np.int64], accuracy: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Predictions of which about the share ``accuracy`` is right, shape (n, c)."""
    wrong = generator.random(len(labels)) > accuracy
    shift = generator.integers(1, len(CLASSES), len(labels))
    predicted = np.where(wrong, (labels + shift) % len(CLASSES), labels)
    found = generator.random((len(labels), len(CLASSES))) * 0.3
    found[np.arange(len(labels)), predicted] += 0.6
    shares: NDArray[np.float32] = (found / found.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _loaded() -> DataLoaded:
    return DataLoaded(
        modality="image",
        layout="class folders",
        classes=CLASSES,
        counts=_SAMPLES,
        quarantined=0,
        metric="accuracy",
        metric_reason="the classes are of similar size (ratio 1.0)",
        split_description="stratified, seed 0",
    )


def _screened(place: int) -> BackboneScreened:
    return BackboneScreened(
        backbone=BACKBONES[place],
        score=0.6 + 0.03 * place,
        ranker="ridge",
        seconds=20.0,
        samples=1600,
        cached=False,
        verdict="kept: among the best half" if place > 2 else "stopped: clearly behind",
    )


def _answer(name: str, outcomes: list[Outcome], confusion: NDArray[np.int64]) -> Recommendation:
    right = int(confusion.trace()) / _SAMPLES["test"]
    best = finished(outcomes)
    ranking = tuple(
        RankedTrial(
            rank=rank,
            number=row.number,
            stage=row.stage,
            configuration=row.configuration,
            value=row.value or 0.0,
            interval=_around(row.value or 0.0) if rank <= 50 else None,
            confirmed=(row.value or 0.0) - 0.02 if rank <= 4 else None,
            seconds=row.seconds,
            trainable_parameters=row.proof.trainable_parameters if row.proof else 0,
            total_parameters=row.proof.total_parameters if row.proof else 0,
        )
        for rank, row in enumerate(best, start=1)
    )
    finalists = tuple(_finalist(place, row) for place, row in enumerate(ranking[:4]))
    usual = Recommendation(
        study=name,
        metric="accuracy",
        metric_reason="the classes are of similar size (ratio 1.0)",
        winner=ranking[0],
        refitted=True,
        refit_reason="trained again on train and validation together",
        test=HeldOutScore(
            value=right,
            interval=_around(right),
            metrics={"accuracy": right},
            samples=_SAMPLES["test"],
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            openings=1,
        ),
        baselines=(
            Baseline(name="majority class", description="always 'cat'", value=0.25),
            Baseline(name="kNN on frozen features", description="5 nearest", value=0.86),
        ),
        ranking=ranking,
        trials=Counter(row.state for row in outcomes),
        confirmation=Confirmation(
            finalists=finalists,
            winner=finalists[0].number,
            samples=1600,
            folds=5,
            repeats=1,
            minimum_detectable=0.015,
            prefer="latency",
            reason="the fastest of those between which no difference is shown",
        ),
        cost=finalists[0].cost,
        seconds=80_000.0,
        budget="1d",
        command=f"automl-transfer search --data /data/made --study {name} --budget 1d",
        model="model",
    )
    return replace(usual, study=name)


def _around(value: float) -> Interval:
    return Interval(low=value - 0.02, high=min(1.0, value + 0.02))


def _finalist(place: int, row: RankedTrial) -> Finalist:
    value = row.value - 0.02
    behind = None if place == 0 else Interval(low=0.01 * place - 0.02, high=0.01 * place + 0.02)
    return Finalist(
        number=row.number,
        configuration=row.configuration,
        selected_on=row.value,
        value=value,
        interval=_around(value),
        p_best=(0.6, 0.25, 0.14, 0.01)[place],
        behind=behind,
        tied=behind is None or behind.low <= 0,
        cost=Cost(
            latency=0.030 - 0.006 * place,
            latency_batch=0.3 - 0.06 * place,
            batch=32,
            bytes=13_600_000 + 5_000_000 * place,
            memory=55_000_000 + 8_000_000 * place,
            parameters=3_400_000,
            training=120.0,
            device="cpu",
        ),
    )
