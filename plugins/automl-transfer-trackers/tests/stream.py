"""Events as the host tells them, made of its own dataclasses."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.configuration import Configuration
from automl_transfer.events import (
    BackboneScreened,
    DataLoaded,
    Event,
    Recommended,
    SearchStarted,
    StageStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl_transfer.outcome import CurvePoint, Outcome, State
from automl_transfer.recommendation import (
    HeldOutScore,
    Interval,
    RankedTrial,
    Recommendation,
)

SECRET = "sesame"
COMMAND = f"automl-transfer search --storage postgresql://me:{SECRET}@server/rows"


class Stream:
    """What happens in a search, an event at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.curves: dict[int, list[CurvePoint]] = {}

    def started(self, resumed: int = 0) -> SearchStarted:
        return SearchStarted(
            study=self.directory.name,
            directory=str(self.directory),
            resumed=resumed,
            spent=float(resumed),
            budget="9 trials",
            command=COMMAND,
        )

    def loaded(self) -> DataLoaded:
        return DataLoaded(
            modality="vectors",
            layout="lines of numbers",
            classes=("a", "b", "c"),
            counts={"train": 72, "val": 24, "test": 24},
            quarantined=0,
            metric="accuracy",
            metric_reason="balanced classes",
            split_description="train 72, val 24, test 24",
        )

    def stage(self, stage: str = "heads") -> StageStarted:
        return StageStarted(stage=stage, detail="2 backbones")

    def screened(self, samples: int = 24, verdict: str = "") -> BackboneScreened:
        return BackboneScreened(
            backbone="toy/wide@96",
            score=0.75,
            ranker="ridge",
            seconds=0.5,
            samples=samples,
            cached=False,
            scores={"ridge": 0.75, "logme": -0.5},
            verdict=verdict,
        )

    def configuration(self, number: int) -> Configuration:
        tuned = number % 2 == 1
        return Configuration(
            backbone="toy/wide@96",
            head="linear" if tuned else "mlp",
            strategy="full" if tuned else "frozen",
            params={"strategy/full/lr": 0.01, "training/batch_size": 16}
            if tuned
            else {"head/mlp/hidden": 32},
        )

    def begun(self, number: int) -> TrialStarted:
        """Odd numbers are fine-tunes, even ones are heads."""
        self.curves[number] = []
        return TrialStarted(
            number=number,
            stage="tune" if number % 2 else "heads",
            configuration=self.configuration(number),
        )

    def reached(self, number: int, epoch: int) -> TrialReported:
        """Trial n has n + epoch / 10 after an epoch, of ten steps each."""
        point = CurvePoint(
            epoch=epoch,
            value=number + epoch / 10,
            loss=1 / epoch,
            seconds=float(epoch),
            step=10 * epoch if number % 2 else 0,
        )
        self.curves[number].append(point)
        return TrialReported(number=number, point=point, epochs=3)

    def over(
        self, number: int, state: State = "finished", reason: str | None = None
    ) -> TrialEnded:
        curve = tuple(self.curves.get(number, ()))
        value = curve[-1].value if curve else None
        return TrialEnded(
            outcome=Outcome(
                number=number,
                stage="tune" if number % 2 else "heads",
                configuration=self.configuration(number),
                state=state,
                reason=reason,
                value=value,
                metrics={} if value is None else {"accuracy": value, "macro_f1": float("nan")},
                curve=curve,
                seconds=2.0,
            )
        )

    def three_trials(self) -> list[Event]:
        """Two that overlap, of which one is pruned; then one that fails."""
        return [
            self.begun(1),
            self.begun(3),
            self.reached(1, 1),
            self.reached(3, 1),
            self.reached(1, 2),
            self.over(3, "pruned", "the pruner stopped it"),
            self.over(1),
            self.begun(2),
            self.over(2, "failed", "diverged: it is not finite"),
        ]

    def recommended(self) -> Recommended:
        winner = RankedTrial(
            rank=1,
            number=1,
            stage="tune",
            configuration=self.configuration(1),
            value=1.3,
            interval=None,
            seconds=2.0,
            trainable_parameters=10,
            total_parameters=20,
        )
        return Recommended(
            recommendation=Recommendation(
                study="toy",
                metric="accuracy",
                metric_reason="balanced classes",
                winner=winner,
                refitted=True,
                refit_reason="it is cheap",
                test=HeldOutScore(
                    value=0.875,
                    interval=Interval(low=0.75, high=1.0),
                    metrics={"accuracy": 0.875},
                    samples=24,
                    openings=1,
                ),
                baselines=(),
                ranking=(winner,),
                trials={"finished": 2, "pruned": 1, "failed": 1},
                command=COMMAND,
                provenance={"environment": {"PASSWORD": SECRET}},
            )
        )
