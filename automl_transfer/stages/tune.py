"""Tune: strategies that train the backbone, on the best screened backbones.

An Optuna study of its own: hundreds of cheap frozen trials in the same study would fill TPE's
"bad" side with every fine-tune (regret 0.3 to 7 points, docs/decisions/0002).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from automl_transfer import class_weights
from automl_transfer.configuration import Configuration
from automl_transfer.events import Event, Note, StageStarted
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import Outcome, finished
from automl_transfer.space import Float, Int, Scalar, Space
from automl_transfer.stages.advancing import OpenTrial
from automl_transfer.stages.arms import Arm, ranked
from automl_transfer.stages.bracket import Bracket, run, unpark
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.forecast import together
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.ladder import ladder, shortened
from automl_transfer.stages.proposals import Proposals
from automl_transfer.stages.rows import begun
from automl_transfer.stages.spaces import TRAINING, fine_tuning_space, head_spaces

NAME = "tune"
BACKBONES = 4
"""Fine-tuned at the most."""
EPOCHS = 5
"""Of a trial when the budget is in trials, if that is more than the first rung."""
BATCH = 12
"""Trials that are compared with each other at each rung; of nine, a third of a third is a single
one, and the best of them was it in two of three cases (``benchmarks/rungs.md``)."""
FAILURES = 3
"""After so many failed trials, and none that was not, an arm is left alone."""
OF_AN_ARM = 3
"""Proposals of the sampler for one arm in one batch."""
ATTEMPTS = 12
"""Proposals of the sampler of which one may fit: deeper ones take several times longer."""
SHARE_OF_DEAR = 0.5
"""Of the time that is left, for a trial of an arm for which the ladder is too long."""
SHARE_OF_ONE = 0.3
"""Of the time for tuning that one trial of a cheap arm may take; sets the full length."""
SPREAD = 3.0
"""Factor of the learning rate around the best two recipes."""


Ending = Callable[[float], float]
"""Seconds to leave for the end of the search if a fine-tune of so many seconds wins; of 0: if none
does."""


def tune(context: Context, reserve: Callable[[], Ending]) -> Iterator[Event]:
    """Tries default recipes first, then what the sampler proposes for the most promising arms.

    Args:
        context: With screened candidates, and their heads tried if any strategy is frozen.
        reserve: Asked before each batch what to leave for the end of the search.
    """
    strategies = [card for card in context.strategies if card.trains_backbone]
    if not strategies:
        return
    heads = context.tuned_heads()
    if not heads:
        for card in context.heads:
            context.exclude(card.id, "it reads the outputs of stages: with none but such heads "
                            "nothing is fine-tuned")  # fmt: skip
        return
    candidates = choose_backbones(context)
    targets = context.dataset.targets[context.splits.train]
    weights = class_weights.searched(targets, context.task.metric)
    space = JointSpace(
        backbones=tuple(sorted(candidate.card.id for candidate in candidates)),
        heads=head_spaces(context, heads),
        strategies={card.id: Space(card.space) for card in strategies},
        common=fine_tuning_space(context, weights.params),
    )
    stage = _Stage(context, candidates, space, reserve)
    rungs = " -> ".join(str(rung) for rung in stage.ladder)
    yield StageStarted(stage=NAME, detail=f"{len(candidates)} backbones, rungs at {rungs} steps")
    earlier = Bracket.kept(context)
    if earlier is not None:
        yield from stage.resume(earlier)
    while (batch := stage.batch()) is not None:
        yield from stage.run(batch)
    yield from stage.untried()


def choose_backbones(context: Context) -> list[Candidate]:
    """The backbones worth fine-tuning: by their best frozen trial, else by their screening."""
    best = _best_frozen(context)
    order = sorted(
        context.candidates.values(),
        key=lambda candidate: (
            -best.get(candidate.card.id, -math.inf),
            -candidate.score,
            candidate.card.id,
        ),
    )
    return order[:BACKBONES]


class _Stage:
    """The state of the stage: what is queued, what fits, what did not."""

    def __init__(
        self,
        context: Context,
        candidates: list[Candidate],
        space: JointSpace,
        reserve: Callable[[], Ending],
    ) -> None:
        self._context = context
        self._candidates = candidates
        self._space = space
        self._asked = reserve
        self._end = reserve()
        self._forecast = context.forecast
        self._begun = context.watch.elapsed
        self._refused: dict[str, float] = {}
        self._synchronous = context.registry.pruner(context.request.pruner).synchronous
        self._recipes = [
            self._recipe(candidate, strategy)
            for candidate in candidates
            for strategy in sorted(space.strategies)
        ]
        self._each = self._steps_per_epoch()
        self.ladder = self._ladder()
        self._proposals = self._from_rows()

    def _from_rows(self) -> Proposals:
        registry, request = self._context.registry, self._context.request
        return Proposals(
            space=self._space,
            seed=request.seed,
            past=self._past(),
            sampler=registry.load(registry.sampler(request.sampler)),
            pruner=registry.load(registry.pruner(request.pruner))(rungs=self.ladder),
        )

    # What to try -------------------------------------------------------------------------------

    def batch(self) -> Bracket | None:
        """The next trials, or None when there is nothing left to try, or no time for it."""
        self._end = self._asked()
        arms = self._arms()
        # The most promising arm decides how long the trials of the batch are.
        for rungs in dict.fromkeys(rungs for _, rungs in arms):
            bracket = self._batch_of([arm for arm, own in arms if own == rungs], rungs)
            if bracket is not None:
                return bracket
        for rungs in self._lengths():
            bracket = self._batch_of([arm for arm, _ in arms], rungs)
            if bracket is not None:
                return bracket
        return None

    def _batch_of(self, arms: Sequence[Arm], rungs: tuple[int, ...]) -> Bracket | None:
        """Trials of some arms, the most promising first."""
        context = self._context
        trials: list[OpenTrial] = []
        planned: list[float] = []
        longest = 0.0
        number = context.next_number
        most = int(min(self._batch_size(), context.trials_left()))
        for arm in arms:
            # A recipe of each arm; of an arm that has had it, several proposals.
            queue = self._queue(arm)
            several = max(len(queue), OF_AN_ARM) if self._is_begun(arm) else len(queue)
            for _ in range(several):
                if len(trials) >= most:
                    break
                configuration = self._open(number, arm, rungs, planned, longest)
                if configuration is None:
                    break
                planned.append(self._forecast.safe(configuration, rungs[0]))
                longest = max(longest, self._rest(configuration, rungs))
                trials.append(OpenTrial(row=begun(context, configuration, number, NAME)))
                number += 1
        return Bracket(ladder=rungs, trials=trials) if trials else None

    def _batch_size(self) -> int:
        """Trials of a batch; with a clock as many as keep all devices at work."""
        if self._context.request.budget_seconds is None:
            return BATCH  # on however many devices, the same trials
        lanes = self._context.side_by_side
        return lanes * math.ceil(BATCH / lanes)

    def _lengths(self) -> Iterator[tuple[int, ...]]:
        """Shorter trainings for what is left at the end."""
        if self._context.request.budget_seconds is None or self._context.request.epochs:
            return
        window = self._context.watch.left - self._end(0.0)
        cheapest = min((self._forecast.step(recipe) for recipe in self._recipes), default=math.inf)
        for share in (0.6, 0.3):
            shorter = shortened(
                self.ladder, min(share * self.ladder[0], window / cheapest), self._each
            )
            if shorter is not None:
                yield shorter

    def _length(self, recipe: Configuration) -> tuple[int, ...] | None:
        """The ladder, or the one rung of what fits: an epoch at least, else None.

        A dear arm is not left out because its trials would be shorter than those of cheap ones: an
        epoch of a whole network may do more than ten of its last stage.
        """
        request, forecast = self._context.request, self._forecast
        if request.budget_seconds is None or request.epochs:
            return self.ladder
        if self._fits(recipe, self.ladder, (), 0.0):
            return self.ladder
        room = self._context.watch.left - self._end(math.inf)
        first, second = (forecast.safe(recipe, steps) for steps in (1, 2))
        for share in (SHARE_OF_DEAR, 1.0):
            affordable = 1 + (share * room - first) / max(1e-9, second - first)
            shorter = shortened(self.ladder, affordable, self._each)
            if shorter is not None:
                return shorter
        self._refuse(recipe, (self._each,))
        return None

    def _arms(self) -> list[tuple[Arm, tuple[int, ...]]]:
        """Those of which a trial fits, the most promising first, and how long it would be."""
        context = self._context
        found = {
            (recipe.backbone, recipe.strategy): (recipe, rungs)
            for recipe in self._recipes
            if not self._is_broken(recipe) and (rungs := self._length(recipe)) is not None
        }
        frozen = _best_frozen(context)
        best = finished(context.outcomes)
        start = self._context.watch.left - self._end(0.0) + context.watch.elapsed - self._begun
        spent = (context.watch.elapsed - self._begun) / start if math.isfinite(start) else 0.0
        floor = min(frozen.values(), default=0.0)
        # What strategies are expected to gain is written for metrics from 0 to 1.
        unit = context.task.unit
        arms = [
            Arm(
                backbone=recipe.backbone,
                strategy=recipe.strategy,
                cost=self._forecast.seconds(recipe, rungs[0]),
                length=rungs[0] / self.ladder[0],
                frozen=frozen.get(recipe.backbone, floor) / unit,
                values=tuple(
                    row.value / unit
                    for row in self._past()
                    if row.value is not None
                    and row.configuration.backbone == recipe.backbone
                    and row.configuration.strategy == recipe.strategy
                ),
            )
            for recipe, rungs in found.values()
        ]
        value = best[0].value if best else None
        if context.request.budget_seconds is None:
            # Without a clock, what a trial costs must not decide: it would differ by machine.
            arms = [replace(arm, cost=1.0) for arm in arms]
        order = ranked(arms, (floor if value is None else value) / unit, spent)
        return [(arm, found[arm.backbone, arm.strategy][1]) for arm in order]

    def _is_broken(self, recipe: Configuration) -> bool:
        """Whether an arm has failed time and again, and never given a value."""
        rows = [
            row
            for row in self._past()
            if row.configuration.backbone == recipe.backbone
            and row.configuration.strategy == recipe.strategy
        ]
        return len(rows) >= FAILURES and all(row.state == "failed" for row in rows)

    def _open(
        self,
        number: int,
        arm: Arm,
        rungs: tuple[int, ...],
        planned: Sequence[float],
        longest: float,
    ) -> Configuration | None:
        """Opens the next trial of an arm, if it fits into the time that is left."""
        for configuration in self._queue(arm):
            if self._fits(configuration, rungs, planned, longest):
                if self._proposals.take(number, configuration):
                    return configuration
            else:
                self._refuse(configuration, rungs)
        if not self._is_begun(arm):
            return None  # its default does not fit: nor will others
        for attempt in range(ATTEMPTS):
            proposed = self._proposals.next(
                number, {"backbone": arm.backbone, "strategy": arm.strategy}, attempt
            )
            if proposed is None:
                return None
            if self._fits(proposed, rungs, planned, longest):
                return proposed
            self._proposals.put_back(number)
        return None

    def _is_begun(self, arm: Arm) -> bool:
        """Whether the default of an arm has been tried."""
        return self._proposals.tried(self._default(arm))

    def _default(self, arm: Arm) -> Configuration:
        """The recipe of an arm: there is one for each."""
        return next(
            recipe
            for recipe in self._recipes
            if recipe.backbone == arm.backbone and recipe.strategy == arm.strategy
        )

    def _queue(self, arm: Arm) -> list[Configuration]:
        """What is worth trying in an arm: its default, then neighbours of the best two trials."""
        queued = [self._default(arm)]
        tried = sorted(
            (row for row in self._past() if row.value is not None),
            key=lambda row: -(row.value or 0.0),
        )
        for row in tried[:2]:
            same = row.configuration
            if same.backbone == arm.backbone and same.strategy == arm.strategy:
                queued += neighbours(same, self._space)
        return [
            configuration for configuration in queued if not self._proposals.tried(configuration)
        ]

    def _recipe(self, candidate: Candidate, strategy: str) -> Configuration:
        """The defaults of a strategy, with the best head of the backbone."""
        head, params = _best_head(self._context, candidate.card.id)
        return self._space.default(candidate.card.id, head, strategy, params)

    # What fits ---------------------------------------------------------------------------------

    def _fits(
        self,
        configuration: Configuration,
        rungs: tuple[int, ...],
        planned: Sequence[float],
        longest: float,
    ) -> bool:
        """Whether a trial may join those that are planned, each of which takes so many seconds."""
        if self._context.request.budget_seconds is None:
            return True
        first = self._forecast.safe(configuration, rungs[0])
        # One of the batch will go on to the end; the time for that is kept.
        rest = max(longest, self._rest(configuration, rungs)) if planned else 0.0
        batch = together([*planned, first], self._context.side_by_side)
        end = self._end(first + self._rest(configuration, rungs))
        return batch + rest <= self._context.watch.left - end

    def _end_of(self, bracket: Bracket) -> float:
        """What to leave for the end while a batch runs."""
        rungs = bracket.ladder
        each = [
            self._forecast.seconds(trial.row.configuration, rungs[0])
            + self._rest(trial.row.configuration, rungs)
            for trial in bracket.trials
        ]
        return self._end(max(each, default=0.0))

    def _rest(self, configuration: Configuration, rungs: tuple[int, ...]) -> float:
        if len(rungs) == 1:
            return 0.0
        return self._forecast.seconds(configuration, rungs[1], rungs[0])

    def _refuse(self, configuration: Configuration, rungs: tuple[int, ...]) -> None:
        self._refused[configuration.title] = self._forecast.safe(configuration, rungs[0])

    def _steps_per_epoch(self) -> int:
        size = int(Space(TRAINING).defaults()["batch_size"])
        samples = len(self._context.splits.train)
        return max(1, min(math.ceil(samples / size), samples // 2))

    def _ladder(self) -> tuple[int, ...]:
        """The rungs of the study: decided once, so that its trials can be compared."""
        context = self._context
        stored = context.store.get("plan", {}).get("ladder")
        if stored is not None:
            return tuple(int(rung) for rung in stored)
        epochs = context.request.epochs
        affordable = math.inf
        if context.request.budget_seconds is None:
            if epochs is None:
                affordable = max(EPOCHS * self._each, 150)
        elif epochs is None:
            window = max(1.0, context.watch.left - self._end(0.0))
            cheapest = min(
                self._forecast.step(recipe)
                for recipe in self._recipes
                if recipe.backbone == self._candidates[0].card.id
            )
            affordable = max(self._each, window * SHARE_OF_ONE / cheapest)
        found = ladder(self._each, epochs=epochs, affordable=affordable)
        context.store.put("plan", {"ladder": list(found)})
        return found

    # Running -----------------------------------------------------------------------------------

    def run(self, bracket: Bracket) -> Iterator[Event]:
        """Trains a batch to its end."""
        yield from run(
            self._context,
            self._proposals,
            bracket,
            self._forecast,
            reserve=self._end_of(bracket),
            synchronous=self._synchronous,
        )

    def resume(self, bracket: Bracket) -> Iterator[Event]:
        """Goes on with the batch that an earlier session was at."""
        taken = [
            trial
            for trial in bracket.trials
            if self._proposals.take(trial.row.number, trial.row.configuration)
        ]
        resumed = replace(bracket, trials=taken)
        unpark(self._context, resumed, self._end_of(resumed))
        for trial in taken:
            for point in trial.row.curve:
                self._proposals.report(trial.row.number, point.value, point.step)
        if taken:
            yield from self.run(resumed)
            # Samplers break ties by order: as if no row had ended before these were opened.
            self._proposals = self._from_rows()

    def untried(self) -> Iterator[Event]:
        """Says which recipes were not tried for lack of time."""
        left = {
            recipe.title: recipe for recipe in self._recipes if not self._proposals.tried(recipe)
        }
        context = self._context
        for title, recipe in left.items():
            if context.request.budget_seconds is not None:
                needed = self._refused.get(title) or self._forecast.safe(recipe, self.ladder[0])
                reason = f"about {needed:.0f} s of fine-tuning did not fit into the budget"
                if title not in self._refused:
                    reason = "others promised more for their time, and the budget ended"
            else:
                reason = "the number of trials was used up before it"
            context.exclude(title, reason)
        context.store.put("why_not", to_json(context.why_not))
        if left and context.request.budget_seconds is not None:
            text = (
                f"{len(left)} of {len(self._recipes)} fine-tuning recipes were not tried for lack "
                "of time; a larger --budget tries them. `show --why` lists them."
            )
            context.notes.append(text)
            yield Note(text=text)

    def _past(self) -> list[Outcome]:
        return [row for row in self._context.outcomes if row.stage == NAME]


def neighbours(configuration: Configuration, space: JointSpace) -> list[Configuration]:
    """The same one stage deeper, at three times and at a third of the learning rate, and with its
    classes weighted otherwise.

    Of the strategy's parameters ``k`` and ``lr``, where it has them, within their bounds. In this
    order, since a short search does not get through it: of four grids of both on real data (one
    network, 120 to 152 steps) two were best a stage deeper, one at three times the rate, and one
    at the default.
    """
    found: list[Configuration] = []
    params = space.strategies[configuration.strategy].params
    for param in sorted(params, key=lambda param: param.name != "k"):
        name = f"strategy/{configuration.strategy}/{param.name}"
        value = configuration.params.get(name)
        others: set[Scalar] = set()
        if isinstance(param, Float) and param.name == "lr" and isinstance(value, float):
            near = (value / SPREAD, value * SPREAD)
            others = {min(max(rate, param.low), param.high) for rate in near}
        elif isinstance(param, Int) and param.name == "k" and isinstance(value, int):
            others = {min(value + 1, param.high)}
        found += [
            replace(configuration, params={**configuration.params, name: other})
            for other in sorted(others, key=float, reverse=True)
            if other != value
        ]
    return [*found, *class_weights.alternatives(configuration)]


def _best_frozen(context: Context) -> dict[str, float]:
    """Value of the best frozen head of each backbone, of those that a fine-tune may begin with."""
    best: dict[str, float] = {}
    heads = {card.id for card in context.tuned_heads()}
    for row in context.outcomes:
        if row.stage == NAME or row.configuration.head not in heads:
            continue
        if row.state == "finished" and row.value is not None:
            name = row.configuration.backbone
            best[name] = max(best.get(name, -math.inf), row.value)
    return best


def _best_head(context: Context, backbone: str) -> tuple[str, dict[str, Scalar]]:
    heads = [card.id for card in context.tuned_heads()]
    frozen = [
        row
        for row in finished(context.outcomes)
        if row.stage != NAME
        and row.configuration.backbone == backbone
        and row.configuration.head in heads
    ]
    if not frozen:
        return heads[0], {}
    best = frozen[0].configuration
    return best.head, {
        name: value for name, value in best.params.items() if name.startswith("head/")
    }
