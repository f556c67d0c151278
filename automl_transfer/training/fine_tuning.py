"""The phases of a trial that train stages of the backbone, step by step.

All chance of a step comes from the seed and the step's number: a training that goes on from a
kept state draws what it would have drawn without the interruption.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from automl_transfer.errors import DivergedError
from automl_transfer.training.feed import Chosen, ahead
from automl_transfer.training.phase import PhaseTraining
from automl_transfer.training.probing import probe
from automl_transfer.training.run import Run
from automl_transfer.training.schedule import factor

CHUNK_SECONDS = 1.0
"""Between two looks at the clock, where a look would wait for the device."""
UNTIMED = 2
"""First steps, in which memory is taken and kernels are chosen."""
_ORDER, _VIEW, _MODEL = range(3)


class FineTuning:
    """The state of a training between two steps."""

    def __init__(self, run: Run, ends: Sequence[int], frozen: torch.Tensor | None) -> None:
        """Starts before the first step.

        Args:
            run: The trial.
            ends: Step at which each phase of the plan ends.
            frozen: Features of the training part before any training, shape (n, d); None where
                a kept state says how the head starts.
        """
        self.run = run
        self.step = 0
        self.seconds: list[float] = []
        """Of a step each, without the first ones."""
        self.place = -1
        """Of the present phase in the plan; -1 before any."""
        self.phase: PhaseTraining | None = None
        self._ends = ends
        self._frozen = frozen
        self._epoch: tuple[int, list[Chosen]] = (-1, [])

    def advance(
        self,
        to: int,
        *,
        rung: int,
        warm: int | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> float:
        """Trains up to a step; returns the mean loss on the way there.

        Args:
            to: The step.
            rung: Step at which the decay of the learning rate ends.
            warm: Steps of the warm-up.
            on_step: Called with the number of the next step, now and then.

        Raises:
            DivergedError: The loss is not finite.
            OutOfTimeError: The budget has ended.
            FreezeViolationError: A phase ended, and a frozen tensor has moved.
            TrialError: There is nothing to train in a phase.
        """
        losses = torch.zeros((), device=self.run.device)
        seen = 0
        while self.step < to:
            if self.phase is None or self.step >= self._ends[self.place]:
                self._enter_next()
                continue
            stop = min(to, self._ends[self.place])
            for loss, count in self._steps(stop, rung, warm):
                losses += loss * count
                seen += count
                if on_step is not None:
                    on_step(self.step)
        if self.step >= self._ends[-1]:
            self._train_last_heads()
        mean = float(losses) / max(1, seen)
        self._check(mean)
        return mean

    def enter(self, place: int) -> PhaseTraining:
        """Prepares the phase at a place in the plan."""
        begin = self._ends[place - 1] if place else 0
        phase = PhaseTraining(self.run, self.run.plan.phases[place], self._ends[place] - begin)
        self.place, self.phase = place, phase
        return phase

    def leave(self) -> None:
        """Ends the present phase: adapters are merged, and the freeze is proved.

        Raises:
            FreezeViolationError: A frozen tensor has moved.
        """
        if self.phase is not None:
            self.phase.leave()
            self.phase = None

    def _enter_next(self) -> None:
        self.leave()
        self._probe()
        self.enter(self.place + 1)

    def _train_last_heads(self) -> None:
        if self.place < len(self.run.plan.phases) - 1:
            self.leave()
            self._probe()

    def _probe(self) -> None:
        """Runs the phases that come next and train the head alone."""
        phases = self.run.plan.phases
        while self.place + 1 < len(phases) and not phases[self.place + 1].trains:
            self.place += 1
            for _ in probe(self.run, self._frozen, phases[self.place]):
                pass

    def _steps(self, stop: int, rung: int, warm: int | None) -> Iterator[tuple[torch.Tensor, int]]:
        phase = self.phase
        assert phase is not None
        begin = self._ends[self.place - 1] if self.place else 0
        phase.switch()
        chunk = _Chunk(self.run.device)
        for chosen, loaded in ahead(phase.feed, self._batches(self.step, stop)):
            torch.manual_seed(self._seed(_MODEL, self.step))
            rate = factor(self.step, rung, warm=warm, start=begin)
            loss = phase.step(chosen, loaded, rate)
            self.step += 1
            yield loss, len(chosen)
            if chunk.ends():
                self.seconds.extend(chunk.take())
                self._check(float(loss))
                self.run.check_time()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"The training loss must be finite, but is {loss} at lr {self.run.plan.lr:g}. A "
                "smaller learning rate may help."
            )

    def _batches(self, start: int, stop: int) -> Iterator[tuple[Chosen, torch.Generator]]:
        for step in range(start, stop):
            epoch, within = divmod(step, self.run.steps_per_epoch)
            if self._epoch[0] != epoch:
                order = np.random.default_rng([self.run.settings.seed, _ORDER, epoch])
                shuffled = order.permutation(len(self.run.train.positions))
                self._epoch = (epoch, np.array_split(shuffled, self.run.steps_per_epoch))
            view = torch.Generator().manual_seed(self._seed(_VIEW, step))
            yield self._epoch[1][within], view

    def _seed(self, of: int, step: int) -> int:
        source = np.random.SeedSequence([self.run.settings.seed, of, step])
        return int(source.generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Chunk:
    """Steps between two looks at the clock: one where looking is free, more on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._size = 1
        self._count = 0
        self._seen = 0
        self._started = time.perf_counter()

    def ends(self) -> bool:
        self._count += 1
        return self._count >= self._size

    def take(self) -> list[float]:
        """Waits for the device; seconds of each step of the chunk, none of the first ones."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        each = (now - self._started) / self._count
        steps = [each] * self._count if self._seen >= UNTIMED else []
        self._seen += self._count
        if self._device.type != "cpu" and self._seen > UNTIMED and each > 0:
            self._size = max(1, min(self._size * 2, int(CHUNK_SECONDS / each)))
        self._started, self._count = now, 0
        return steps
