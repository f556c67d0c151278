"""Asks Optuna for configurations, and tells it what came of them.

The Optuna study lives in memory and is rebuilt from the stored rows whenever a search starts, so
that it outlives a kill, a new plugin and an upgrade of Optuna. Each ask has its own seed, made
from the study's seed and the number of the trial: a resumed search proposes what an uninterrupted
one would have.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl_transfer.configuration import Configuration
from automl_transfer.outcome import Outcome
from automl_transfer.stages.joint import JointSpace, flat

_STATES = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_PATIENCE = 40
"""Proposals in a row that may be repeats or out of the space before it counts as exhausted."""


def trial_seed(seed: int, number: int) -> int:
    """The seed of one trial, from the study's seed and the number of the trial."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] % (2**31))


class Proposals:
    """The Optuna side of one stage."""

    def __init__(
        self,
        *,
        space: JointSpace,
        seed: int,
        past: Sequence[Outcome],
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        """Rebuilds the Optuna study of a stage.

        Args:
            space: What may be proposed now.
            seed: Of the whole search.
            past: Ended trials of this stage, all sessions.
            pruner: Decides at each epoch; None never prunes.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self._wide = space.widened(outcome.configuration for outcome in past)
        self._seed = seed
        self._study = optuna.create_study(
            direction="maximize", pruner=pruner or optuna.pruners.NopPruner()
        )
        self._study.add_trials([frozen for row in past if (frozen := self._frozen(row))])
        self._tried = {row.configuration.digest for row in past}
        self._queue: deque[Configuration] = deque()
        self._open: optuna.Trial | None = None
        self._asked: Configuration | None = None

    def enqueue(self, configurations: Iterable[Configuration]) -> None:
        """Puts configurations before the sampler's own, leaving out what has been tried."""
        for configuration in configurations:
            new = configuration.digest not in self._tried and configuration not in self._queue
            if new and self.space.holds(configuration):
                self._queue.append(configuration)

    @property
    def queued(self) -> int:
        """How many enqueued configurations are left."""
        return len(self._queue)

    def next(self, number: int) -> Configuration | None:
        """The next configuration that is new, or None when the space seems exhausted."""
        self._study.sampler = self._sampler(number)
        if self._queue:
            configuration = self._queue.popleft()
            self._study.enqueue_trial(flat(configuration))
            self._open = self._study.ask()
            asked = self._wide.suggest(self._open)
            if asked != configuration:  # a value that Optuna could not take as it was
                raise ValueError(f"Enqueued {configuration}, but was given {asked}.")
            self._asked = configuration
            return configuration
        for attempt in range(_PATIENCE):
            trial = self._study.ask()
            configuration = self._wide.suggest(trial)
            if configuration.digest not in self._tried and self.space.holds(configuration):
                self._open, self._asked = trial, configuration
                return configuration
            # Told as failed, which TPE passes over: a repeat must not count twice, nor make a
            # difference to the study that the rows rebuild.
            self._study.tell(trial, state=TrialState.FAIL)
            if attempt == _PATIENCE // 2:
                self._study.sampler = self._elsewhere(number, at_random=True)
            elif attempt < _PATIENCE // 2 and not self._is_present(configuration):
                self._study.sampler = self._elsewhere(number, at_random=False)
        return None

    def report(self, value: float, epoch: int) -> bool:
        """Reports an epoch of the open trial; returns whether it should be pruned."""
        if self._open is None:
            raise RuntimeError("No trial is open.")
        self._open.report(value, epoch)
        return self._open.should_prune()

    def put_back(self) -> None:
        """Closes the open trial without an outcome: it was not begun, and is not asked again."""
        if self._open is not None and self._asked is not None:
            self._study.tell(self._open, state=TrialState.FAIL)
            self._tried.add(self._asked.digest)
        self._open = None

    def tell(self, outcome: Outcome) -> None:
        """Closes the open trial."""
        trial, self._open = self._open, None
        if trial is None:
            raise RuntimeError("No trial is open.")
        self._tried.add(outcome.configuration.digest)
        state = _STATES[outcome.state]
        if state is TrialState.COMPLETE:
            self._study.tell(trial, outcome.value)
        else:
            self._study.tell(trial, state=state)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                multivariate=True,
                group=True,
                n_startup_trials=8,
                seed=trial_seed(self._seed, number),
            )

    def _elsewhere(self, number: int, at_random: bool) -> optuna.samplers.BaseSampler:
        """Failed trials teach TPE nothing: it would ask again and again for a good backbone that
        is gone, or for a point that has been tried."""
        seed = trial_seed(self._seed, number)
        if at_random:
            return optuna.samplers.RandomSampler(seed=seed)
        backbone = str(np.random.default_rng(seed).choice(self.space.backbones))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.PartialFixedSampler(
                {"backbone": backbone}, self._sampler(number)
            )

    def _is_present(self, configuration: Configuration) -> bool:
        return configuration.backbone in self.space.backbones

    def _frozen(self, outcome: Outcome) -> FrozenTrial | None:
        return frozen_trial(outcome, self._wide)


def frozen_trial(outcome: Outcome, space: JointSpace) -> FrozenTrial | None:
    """A row as an Optuna trial, or None when the space has changed too much to hold it."""
    if not space.holds(outcome.configuration):
        return None
    state = _STATES[outcome.state]
    curve = {point.epoch: point.value for point in outcome.curve}
    if state is TrialState.PRUNED and not curve and outcome.value is not None:
        curve = {outcome.epochs: outcome.value}
    return create_trial(
        state=state,
        value=outcome.value if state is TrialState.COMPLETE else None,
        params=flat(outcome.configuration),
        distributions=space.distributions(outcome.configuration),
        intermediate_values=curve,
        user_attrs={"number": outcome.number},
    )
