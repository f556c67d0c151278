"""Studies in every state, made through the store as a search makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.configuration import Configuration
from automl_transfer.dataset import Dataset, Quarantined, Sample, Splits
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome, State
from automl_transfer.recommendation import (
    Baseline,
    HeldOutScore,
    Interval,
    RankedTrial,
    Recommendation,
)
from automl_transfer.store import Store

SCRIPT = "<script>window.broken = true</script>"
LINK = "[x](javascript:window.broken=true)"
BOLD = "**b** :red[c] :smile: $x$ `tick`"
NAMES = ("bundled/efficientnet_lite0", "timm/resnet18.a1_in1k", "hf/facebook/dinov2-small")


def outcome(
    number: int,
    state: State = "finished",
    value: float | None = 0.9,
    *,
    backbone: str = NAMES[0],
    head: str = "linear",
    strategy: str = "full",
    epochs: int = 5,
    reason: str | None = None,
    reported: int | None = None,
) -> Outcome:
    top = 0.5 if value is None else value
    done = epochs if reported is None else reported
    return Outcome(
        number=number,
        stage="tune" if epochs else "heads",
        configuration=Configuration(
            backbone=backbone,
            head=head,
            strategy=strategy,
            params={f"strategy/{strategy}/lr": 1e-3, "training/batch_size": 32},
        ),
        state=state,
        reason=reason,
        value=value,
        metrics={} if value is None else {"accuracy": value, "macro_f1": value - 0.01},
        curve=tuple(
            CurvePoint(epoch=epoch, value=top - 0.2 / epoch, loss=1.5 / epoch, seconds=4.0 * epoch)
            for epoch in range(1, done + 1)
        ),
        epochs=epochs,
        seconds=0.0 if state == "running" else 4.0 * max(done, 1),
        started="2026-01-02T03:04:05+00:00",
        seed=7,
        device="cpu",
        proof=FreezeProof(
            trainable_parameters=40_000, total_parameters=4_000_000, frozen_tensors=118
        )
        if state == "finished"
        else None,
        providers={backbone: "automl-transfer 0.1.0"},
        weights="ab" * 32,
    )


@dataclass
class Made:
    """A study on disk, open for writing."""

    directory: Path
    store: Store

    def status(self, state: str, *, age: float = 1.0, spent: float = 150.0) -> None:
        self.store.put(
            "status",
            {
                "state": state,
                "stage": "tune",
                "spent": spent,
                "budget": 300.0,
                "trials": None,
                "updated": time.time() - age,
            },
        )

    def recommend(self, outcomes: list[Outcome], openings: int = 1, score: float = 0.931) -> None:
        best = sorted(
            (row for row in outcomes if row.state == "finished"), key=lambda row: -(row.value or 0)
        )
        ranking = tuple(
            RankedTrial(
                rank=rank,
                number=row.number,
                stage=row.stage,
                configuration=row.configuration,
                value=row.value or 0.0,
                interval=Interval(low=(row.value or 0) - 0.02, high=(row.value or 0) + 0.02),
                seconds=row.seconds,
                trainable_parameters=40_000,
                total_parameters=4_000_000,
            )
            for rank, row in enumerate(best, start=1)
        )
        StudyDirectory(self.directory).write_recommendation(
            Recommendation(
                study=self.directory.name,
                metric="accuracy",
                metric_reason="the classes are of similar size (ratio 1.0)",
                winner=ranking[0],
                refitted=True,
                refit_reason="Trained again on train and validation together.",
                test=HeldOutScore(
                    value=score,
                    interval=Interval(low=0.907, high=0.951),
                    metrics={"accuracy": 0.931},
                    samples=400,
                    report={},
                    report_text="              precision    recall\ncat   0.93  0.93",
                    confusion=((1, 0), (0, 1)),
                    openings=openings,
                ),
                baselines=(
                    Baseline(name="majority", description="always the largest class", value=0.34),
                    Baseline(name="kNN", description="5 neighbours, frozen features", value=0.86),
                ),
                ranking=ranking,
                trials={"finished": len(best)},
                seconds=280.0,
                budget="5m",
                command=f"automl-transfer search --study {self.directory.name}",
                model="model",
            )
        )

    def answer(self) -> Recommendation:
        """What was recommended."""
        found = StudyDirectory(self.directory).read_recommendation()
        assert found is not None
        return found

    def change(self, **fields: Any) -> None:
        """Other values for some fields of the answer."""
        StudyDirectory(self.directory).write_recommendation(replace(self.answer(), **fields))


MakeStudy = Callable[..., Made]


def documents(study: Made, files: StudyDirectory, classes: tuple[str, ...]) -> None:
    samples = tuple(
        Sample(id=f"{number:064x}", source=f"{number}.png", label=number % len(classes))
        for number in range(20)
    )
    dataset = Dataset(
        modality="image",
        root="/somewhere/pets",
        classes=classes,
        samples=samples,
        layout="class folders",
        quarantined=(Quarantined(source=f"{SCRIPT}.png", reason="not an image"),),
    )
    splits = Splits(
        train=np.arange(0, 12), val=np.arange(12, 16), test=np.arange(16, 20), description="seeded"
    )
    files.write_manifest(dataset, splits)
    files.write_quarantined(dataset)
    study.store.put(
        "data",
        {
            "modality": "image",
            "layout": "class folders",
            "classes": list(classes),
            "counts": {"train": 12, "val": 4, "test": 4},
            "quarantined": 1,
            "metric": "accuracy",
            "metric_reason": "the classes are of similar size (ratio 1.0)",
            "split_description": "stratified, seed 0",
        },
    )
    study.store.put(
        "screen",
        [
            {
                "backbone": name,
                "score": 0.6 + place / 10,
                "ranker": "ridge-loo",
                "seconds": 2.5,
                "samples": 16,
                "cached": False,
            }
            for place, name in enumerate(NAMES)
        ],
    )
    study.store.put("why_not", [{"what": "timm/vit_huge", "reason": "the hub is out of reach"}])


def some_outcomes() -> list[Outcome]:
    return [
        outcome(0, value=0.86, epochs=0, strategy="frozen"),
        outcome(1, value=0.90, backbone=NAMES[1], strategy="last-stages"),
        outcome(2, value=0.93, backbone=NAMES[2], head="mlp"),
        outcome(3, "pruned", None, reason="below the top third at epoch 2", reported=2),
        outcome(
            4,
            "failed",
            None,
            backbone=NAMES[1],
            reason="OutOfMemoryError: 12 GiB at batch size 1\n  at step 3",
            reported=0,
        ),
        outcome(5, value=0.89, strategy="norm-bias"),
    ]
