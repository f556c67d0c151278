"""One trial in rungs: each rung's end is a complete training, and the next goes on before it.

The learning rate rises, stays, and falls over the last steps of a rung. The state before that fall
is kept: a trial that is promoted goes on from there, at the constant rate, to the next rung, so
that what it has done so far is not lost (decay branches, arXiv:2404.06395).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.contracts import Backbone, Stage
from automl_transfer.errors import TrialError
from automl_transfer.jsonable import digest, to_json
from automl_transfer.plan import FreezePlan
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.fine_tuning import FineTuning
from automl_transfer.training.link import Link
from automl_transfer.training.parking import Parked, park, unpark
from automl_transfer.training.run import EpochReport, Part, Settings, steps_per_epoch
from automl_transfer.training.schedule import WARM_UP, decay_start, phase_ends
from automl_transfer.training.state import State, capture, restore
from automl_transfer.training.trial import TrialResult, begin, memory_named, result_of

AMID_SECONDS = 300.0
"""Between two times that a trial is kept on its way to a rung."""
KEPT_SECONDS = 64
"""Timed steps that are kept with a parked trial."""


class Tuning:
    """A trial that trains stages of the backbone, from rung to rung."""

    def __init__(
        self,
        *,
        backbone: Callable[[], Backbone],
        stages: Sequence[Stage],
        plan: FreezePlan,
        head: Callable[[int], nn.Module],
        head_lr: float,
        head_weight_decay: float,
        closed_form: bool,
        link: Link,
        train: Part,
        evaluate: Part | None,
        settings: Settings,
        ladder: Sequence[int],
        device: torch.device,
        activations: ActivationStore | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        compile: bool = False,
    ) -> None:
        """Checks the arguments; nothing is built before the first rung.

        Args:
            backbone: Builds it afresh, with its pretrained weights.
            stages: Of the backbone.
            plan: Of the freeze strategy; it trains stages. The borders of its phases are shares
                of the full length.
            head: Builds the head for a width; called after the seed is set.
            head_lr: Learning rate while only the head trains.
            head_weight_decay: Weight decay of the head.
            closed_form: The head's ``fit`` is all the training it needs on frozen features.
            link: Of the target.
            train: To learn from.
            evaluate: To report on; None gives reports without probabilities.
            settings: Batch sizes, seed; its epochs and steps do not matter.
            ladder: Steps of the rungs, ascending; the last is the full length.
            device: Where to train.
            activations: Keeps what crosses the boundary of the frozen part; None recomputes it.
            should_stop: Looked at after each step.
            compile: Compile the network's modules.

        Raises:
            ValueError: The ladder does not ascend, or the plan trains no stage.
        """
        rising = sorted({int(steps) for steps in ladder})
        if not rising or list(ladder) != rising or rising[0] < 1 or not plan.trains_backbone:
            raise ValueError(
                "A tuning needs a plan that trains stages and an ascending ladder of steps, but "
                f"got {list(ladder)} and {plan.trains_backbone=}."
            )
        self.ladder = tuple(ladder)
        self.steps_per_epoch = steps_per_epoch(len(train.positions), settings.batch_size)
        self.notes: list[str] = []
        """What did not go as asked, in words."""
        self._backbone = backbone
        self._plan = plan
        self._link = link
        self._train = train
        self._evaluate = evaluate
        self._settings = settings
        self._device = device
        self._options: dict[str, Any] = {
            "stages": stages,
            "plan": plan,
            "head": head,
            "head_lr": head_lr,
            "head_weight_decay": head_weight_decay,
            "closed_form": closed_form,
            "link": link,
            "train": train,
            "evaluate": evaluate,
            "settings": settings,
            "device": device,
            "should_stop": should_stop,
            "activations": activations,
            "compile": compile,
        }
        self._ends = phase_ends(plan, self.ladder[-1])
        self._live: FineTuning | None = None
        self._width: int | None = None
        self._branch: State | None = None
        self._end: State | None = None
        self._probabilities = np.zeros((0, link.outputs), dtype=np.float32)
        self._seconds: list[float] = []

    @property
    def step(self) -> int:
        """Of the last rung that was finished; 0 before the first."""
        return 0 if self._end is None else self._end.step

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of the evaluated part at the last rung that was finished, shape (n_eval, c)."""
        return self._probabilities

    @property
    def seconds_per_step(self) -> float | None:
        """Median of the steps so far, without the first ones; None before there is one."""
        return float(np.median(self._seconds)) if self._seconds else None

    def advance(
        self,
        to: int,
        on_step: Callable[[int, int], None] | None = None,
        amid: Path | None = None,
    ) -> EpochReport:
        """Trains up to a rung and evaluates there. Rungs may be left out.

        Whatever it raises, the last rung that was finished stays as it was.

        Args:
            to: Steps, one of the ladder, more than :attr:`step`.
            on_step: Called after each step with its number and ``to``. A promoted trial begins
                again where the decay of its last rung began. What it raises ends the way.
            amid: Directory in which the trial is kept on its way, every :data:`AMID_SECONDS` and
                when ``on_step`` raises, for :meth:`load`. It may go once the rung is saved. A
                trial that goes on from there comes to the same; its loss is of the steps since.

        Raises:
            DivergedError: Features, loss or predictions are not finite.
            OutOfMemoryError: The trial does not fit into memory.
            OutOfTimeError: ``should_stop`` said so.
            FreezeViolationError: A frozen tensor has moved.
            PluginError: The plan names unknown stages.
            TrialError: The plan trains stages in which there is nothing to train.
            ValueError: ``to`` is no rung that lies ahead.
        """
        if to not in self.ladder or to <= self.step:
            raise ValueError(
                f"A tuning must advance to a rung of {self.ladder} after {self.step}, but got "
                f"{to}."
            )
        started = time.monotonic()
        keeping: _Keeping | None = None
        warm = max(1, math.ceil(self.ladder[0] * WARM_UP))
        try:
            with memory_named(self._settings):
                live = self._at(self._branch)
                live.seconds.clear()
                fall = max(live.step, decay_start(to))
                before = fall - live.step
                keeping = _Keeping(self, amid, live, to, fall)
                told = keeping.told(on_step)
                loss = live.advance(fall, rung=to, warm=warm, on_step=told) if before else 0.0
                final = to == self.ladder[-1]
                branch = None if final or fall == 0 else capture(live, moments=True)
                keeping.branch = branch
                falling = live.advance(to, rung=to, warm=warm, on_step=told)
                loss = (loss * before + falling * (to - fall)) / (before + to - fall)
                report = self._report(live, loss, started)
                end = capture(live, moments=False)
        except BaseException as error:
            if keeping is not None and not isinstance(error, Exception):
                keeping.left()
            self._live = None
            raise
        finally:
            if self._live is None:
                gc.collect()
        self._seconds.extend(live.seconds)
        self._branch, self._end, self._probabilities = branch, end, report.probabilities
        return report

    def keep(self, directory: Path, state: State) -> None:
        """Parks the trial on its way from its last finished rung, at ``state``."""
        try:
            self._park(directory, state)
        except OSError as error:
            # The disk may be full for a while; the last rung is still there.
            self.notes.append(f"It could not be kept at step {state.step}: {error}.")

    def finish(self) -> TrialResult:
        """The model at the last rung that was finished, adapters merged, its freeze proved.

        Raises:
            FreezeViolationError: A frozen tensor has moved.
            TrialError: No rung has been finished.
        """
        if self._end is None:
            raise TrialError("A trial must finish a rung to have a result, but has finished none.")
        with memory_named(self._settings):
            live = self._at(self._end)
            live.leave()
        self._live = None  # its adapters are gone; another rung starts from what was kept
        live.run.epoch = math.ceil(self.step / self.steps_per_epoch)
        live.run.probabilities = self._probabilities
        return result_of(live.run)

    def save(self, directory: Path) -> None:
        """Parks the trial after its last finished rung; :meth:`load` goes on with it.

        Raises:
            TrialError: No rung has been finished.
        """
        if self._end is None:
            raise TrialError("A trial must finish a rung to be parked, but has finished none.")
        self._park(directory, self._branch)

    def _park(self, directory: Path, branch: State | None) -> None:
        park(
            directory,
            Parked(
                identity=self._identity,
                width=self._width or 0,
                steps=self.step,
                seconds=tuple(self._seconds[-KEPT_SECONDS:]),
                branch=branch,
                end=self._end,
                probabilities=torch.from_numpy(self._probabilities),
            ),
        )

    @classmethod
    def load(cls, directory: Path, **arguments: Any) -> Tuning:
        """A parked trial, as it was; it goes on as it would have without the interruption.

        Args:
            directory: Where :meth:`save` put it.
            arguments: Those that it was made with.

        Raises:
            StudyError: It is missing, damaged, or was made with others.
        """
        tuning = cls(**arguments)
        parked = unpark(directory, tuning._identity)
        tuning._width = parked.width
        tuning._branch, tuning._end = parked.branch, parked.end
        tuning._probabilities = parked.probabilities.numpy()
        tuning._seconds = list(parked.seconds)
        return tuning

    @property
    def _identity(self) -> str:
        rows = self._train.rows
        return digest(
            {
                "plan": to_json(self._plan),
                "settings": to_json(self._settings),
                "ladder": list(self.ladder),
                "classes": self._link.outputs,
                "head": [self._options["head_lr"], self._options["head_weight_decay"]],
                "encoder": rows.encoder.digest,
                "train": [rows.samples[int(place)].id for place in self._train.positions],
                "labels": self._train.targets.tolist(),
            },
            32,
        )

    def _at(self, state: State | None) -> FineTuning:
        """The live training at a state; None is the beginning. Built anew where it must be."""
        live = self._live
        if (
            live is not None
            and live.phase is not None
            and state is not None
            and state.inside
            and state.place == live.place
        ):
            restore(live, state)
            return live
        self._live = live = None
        width = None if state is None else self._width
        run, frozen = begin(backbone=self._backbone(), width=width, **self._options)
        self._width = run.model.scaler.mean.numel()
        run.notes = self.notes
        built = FineTuning(run, self._ends, None if state is not None else frozen)
        if state is not None:
            restore(built, state)
        self._live = built
        return built

    def _report(self, live: FineTuning, loss: float, started: float) -> EpochReport:
        epochs = [math.ceil(s / self.steps_per_epoch) for s in (live.step, self.ladder[-1])]
        for report in live.run.report(epochs[0], epochs[1], loss, live.step):
            return replace(report, seconds=time.monotonic() - started)
        return EpochReport(
            epoch=epochs[0],
            epochs=epochs[1],
            step=live.step,
            loss=loss,
            probabilities=np.zeros((0, self._link.outputs), dtype=np.float32),
            seconds=time.monotonic() - started,
        )


class _Keeping:
    """Keeps a trial on its way to a rung."""

    def __init__(
        self, tuning: Tuning, directory: Path | None, live: FineTuning, to: int, fall: int
    ) -> None:
        """Keeps nothing yet.

        Args:
            tuning: The trial.
            directory: Where; None keeps nothing.
            live: Its training.
            to: Steps of the rung.
            fall: Where its learning rate begins to fall.
        """
        self._tuning = tuning
        self._directory = directory
        self._live = live
        self._to = to
        self._fall = fall
        self._kept = time.monotonic()
        self._kept_step = live.step
        self.branch: State | None = None
        """At the fall, if the trial is to go on from there to another rung."""

    def told(self, on_step: Callable[[int, int], None] | None) -> Callable[[int], None]:
        """What is called after each step."""

        def told(step: int) -> None:
            try:
                if on_step is not None:
                    on_step(step, self._to)
            except BaseException:
                self._keep(step)
                raise
            if time.monotonic() - self._kept >= AMID_SECONDS:
                self._keep(step)
                self._kept = time.monotonic()

        return told

    def left(self) -> None:
        """Keeps what there is when the way ends elsewhere than between two steps."""
        if self._directory is not None and self.branch is not None:
            self._park(self._directory, self.branch)

    def _keep(self, step: int) -> None:
        if self._directory is None or self._live.phase is None or step >= self._to:
            return
        final = self._to == self._tuning.ladder[-1]
        if final or step <= self._fall:
            state: State | None = capture(self._live, moments=True)
        else:
            # What was done since the rate began to fall is no way to the next rung.
            state = self.branch
        if state is not None:
            self._park(self._directory, state)

    def _park(self, directory: Path, state: State) -> None:
        if state.step > self._kept_step:
            self._tuning.keep(directory, state)
            self._kept_step = state.step
