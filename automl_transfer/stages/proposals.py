"""Asks Optuna for configurations, and tells it what came of them.

The Optuna study lives in memory and is rebuilt from the stored rows whenever a search starts, so
that it outlives a kill, a new plugin and an upgrade of Optuna. Each ask has its own seed, made
from the study's seed and the number of the trial: a resumed search proposes what an uninterrupted
one would have. Any number of trials may be open at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from automl_transfer.configuration import Configuration
from automl_transfer.contracts import BuildSampler
from automl_transfer.outcome import Outcome
from automl_transfer.stages.joint import JointSpace, flat

_STATES = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_ATTEMPT = 1 << 32
"""Numbers of trials end below it."""
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
        sampler: BuildSampler,
        startup: int = 8,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        """Rebuilds the Optuna study of a stage.

        Args:
            space: What may be proposed now.
            seed: Of the whole search.
            past: Ended trials of this stage, all sessions.
            sampler: Builds the sampler of one ask.
            startup: Trials before the sampler may learn from them.
            pruner: Decides at each report; None never prunes.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self._wide = space.widened(outcome.configuration for outcome in past)
        self._seed = seed
        self._build = sampler
        self._startup = startup
        self._study = optuna.create_study(
            # Hyperband assigns its brackets by the name, which is random if it is not given.
            study_name="automl-transfer",
            direction="maximize",
            pruner=pruner or optuna.pruners.NopPruner(),
        )
        self._study.add_trials([made for row in past if (made := frozen_trial(row, self._wide))])
        self._tried = {row.configuration.digest for row in past}
        self._open: dict[int, optuna.Trial] = {}

    def tried(self, configuration: Configuration) -> bool:
        """Whether it has been asked, and not put back."""
        return configuration.digest in self._tried

    def take(self, number: int, configuration: Configuration) -> bool:
        """Opens a trial for a given configuration; False if it was tried, or is not in the space.

        Raises:
            ValueError: Optuna could not take a value as it was.
        """
        if self.tried(configuration) or not self.space.holds(configuration):
            return False
        self._study.sampler = self._sampler(number, {})
        self._study.enqueue_trial(flat(configuration))
        trial = self._study.ask()
        asked = self._wide.suggest(trial)
        if asked != configuration:
            raise ValueError(f"Enqueued {configuration}, but was given {asked}.")
        self._opened(number, trial, configuration)
        return True

    def next(
        self, number: int, fixed: Mapping[str, str] | None = None, attempt: int = 0
    ) -> Configuration | None:
        """Opens a trial for the sampler's next configuration that is new.

        Args:
            number: Of the trial.
            fixed: Choices that are made already: ``backbone``, ``head``, ``strategy``.
            attempt: How many were put back for this trial.

        Returns:
            None when the space, as far as ``fixed`` leaves it open, seems exhausted.
        """
        chosen = dict(fixed or {})
        self._study.sampler = self._sampler(number, chosen, attempt)
        for repeat in range(_PATIENCE):
            trial = self._study.ask()
            configuration = self._wide.suggest(trial)
            if not self.tried(configuration) and self.space.holds(configuration):
                self._opened(number, trial, configuration)
                return configuration
            # Told as failed, which samplers pass over: a repeat must not count twice, nor make a
            # difference to the study that the rows rebuild.
            self._study.tell(trial, state=TrialState.FAIL)
            if repeat == _PATIENCE // 2:
                self._study.sampler = self._elsewhere(number, chosen, at_random=True)
            elif repeat < _PATIENCE // 2 and configuration.backbone not in self.space.backbones:
                self._study.sampler = self._elsewhere(number, chosen, at_random=False)
        return None

    def _opened(self, number: int, trial: optuna.Trial, configuration: Configuration) -> None:
        self._open[number] = trial
        self._tried.add(configuration.digest)

    def report(self, number: int, value: float, step: int) -> None:
        """Reports where an open trial stands."""
        self._open[number].report(value, step)

    def should_prune(self, number: int) -> bool:
        """What the pruner says of an open trial."""
        return self._open[number].should_prune()

    def put_back(self, number: int) -> None:
        """Closes an open trial without an outcome: it was not begun, and is not asked again."""
        self._study.tell(self._open.pop(number), state=TrialState.FAIL)

    def tell(self, outcome: Outcome) -> None:
        """Closes an open trial."""
        trial = self._open.pop(outcome.number)
        state = _STATES[outcome.state]
        if state is TrialState.COMPLETE:
            self._study.tell(trial, outcome.value)
        else:
            self._study.tell(trial, state=state)

    def _sampler(
        self, number: int, fixed: Mapping[str, str], attempt: int = 0
    ) -> optuna.samplers.BaseSampler:
        seed = trial_seed(self._seed, number + attempt * _ATTEMPT)
        built = self._build(seed=seed, startup=self._startup)
        return _with(built, fixed)

    def _elsewhere(
        self, number: int, fixed: Mapping[str, str], at_random: bool
    ) -> optuna.samplers.BaseSampler:
        """Failed trials teach a sampler nothing: it would ask again and again for a good backbone
        that is gone, or for a point that has been tried."""
        seed = trial_seed(self._seed, number)
        if at_random:
            return _with(optuna.samplers.RandomSampler(seed=seed), fixed)
        backbone = str(np.random.default_rng(seed).choice(self.space.backbones))
        return self._sampler(number, {"backbone": backbone, **fixed})


def _with(
    sampler: optuna.samplers.BaseSampler, fixed: Mapping[str, str]
) -> optuna.samplers.BaseSampler:
    if not fixed:
        return sampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(dict(fixed), sampler)


def frozen_trial(outcome: Outcome, space: JointSpace) -> FrozenTrial | None:
    """A row as an Optuna trial, or None when the space has changed too much to hold it."""
    if not space.holds(outcome.configuration):
        return None
    state = _STATES[outcome.state]
    curve = {point.step or point.epoch: point.value for point in outcome.curve}
    if state is TrialState.PRUNED and not curve and outcome.value is not None:
        curve = {outcome.steps or outcome.epochs: outcome.value}
    return create_trial(
        state=state,
        value=outcome.value if state is TrialState.COMPLETE else None,
        params=flat(outcome.configuration),
        distributions=space.distributions(outcome.configuration),
        intermediate_values=curve,
        user_attrs={"number": outcome.number},
    )
