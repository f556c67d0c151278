"""One session of a search: from events to what trackers are told, the same to each of them."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from automl_transfer.outcome import CurvePoint, Outcome
from automl_transfer.recommendation import Recommendation
from automl_transfer.space import Scalar
from automl_transfer_trackers.answer import markdown
from automl_transfer_trackers.lane import LONG, Call, Lane
from automl_transfer_trackers.memory import OpenTrial, keep, recall
from automl_transfer_trackers.tracker import Axis, Search
from automl_transfer_trackers.trials import Origin, Trial, ending_of, finite, point_of

_LOG = logging.getLogger(__name__)


class Session:
    """From ``SearchStarted`` to ``Recommended``, or to the end of the process."""

    def __init__(self, started: SearchStarted, lanes: Sequence[Lane]) -> None:
        self._directory = Path(started.directory)
        self._lanes = lanes
        self._memory = recall(self._directory)
        self._ended = started.resumed
        self._facts: dict[str, Scalar] = {"study": started.study, "budget": started.budget}
        self._metric = "value"
        self._begun: set[int] = set()
        self._keeps = True
        search = Search(
            study=started.study, identity=self._memory.identity, directory=self._directory
        )
        self._keep()
        self._tell(lambda tracker: tracker.open(search))
        # Libraries of trackers have exit handlers of their own; the last to register comes first.
        atexit.register(self.leave)

    def follow(self, event: Event) -> None:
        """Tells the trackers what an event means to them."""
        match event:
            case DataLoaded():
                self._loaded(event)
            case StageStarted():
                text, at = ": ".join(filter(None, (event.stage, event.detail))), self._ended
                self._tell(lambda tracker: tracker.text("stage", text, at))
            case BackboneScreened():
                self._screened(event)
            case TrialStarted():
                trial = Trial(
                    number=event.number, stage=event.stage, configuration=event.configuration
                )
                self._begin(trial, "again" if event.number in self._memory.trials else "new")
            case TrialReported():
                self._reported(event.number, event.point)
            case TrialEnded():
                self._over(event.outcome)
            case Recommended():
                self._recommended(event.recommendation)
            case _:
                pass

    def end(self, *, finished: bool) -> None:
        """Closes the trackers. What takes longer goes on until the process ends."""
        for lane in self._lanes:
            lane.end(finished=finished)
        until = time.monotonic() + LONG
        over = [lane.ended(max(0.0, until - time.monotonic())) for lane in self._lanes]
        if all(over):
            atexit.unregister(self.leave)

    def leave(self) -> None:
        """Closes the trackers, interrupted, and waits for them: the process ends."""
        for lane in self._lanes:
            lane.end(finished=False)
        try:
            for lane in self._lanes:
                lane.wait()
        except KeyboardInterrupt:
            _LOG.warning("What was still to be written is left out.")

    def _loaded(self, event: DataLoaded) -> None:
        self._metric = event.metric
        facts, at = dict(self._facts), self._ended
        facts |= {
            "metric": event.metric,
            "kind": event.kind,
            "modality": event.modality,
            "layout": event.layout,
            "classes": len(event.classes),
            "split": event.split_description,
            "quarantined": event.quarantined,
        }
        facts |= {f"samples/{part}": count for part, count in event.counts.items()}
        self._tell(lambda tracker: tracker.facts(facts, at))

    def _screened(self, event: BackboneScreened) -> None:
        scores = {
            f"screening/{ranker}/{event.backbone}": score
            for ranker, score in {event.ranker: event.score, **event.scores}.items()
        }
        # They come again with the verdict, and with each session, from the cache.
        known = self._memory.screened
        new = {name: x for name, x in scores.items() if known.get(name, 0) < event.samples}
        if new:
            known.update(dict.fromkeys(new, event.samples))
            self._keep()
            self._values(new, "samples", event.samples)

    def _begin(self, trial: Trial, origin: Origin) -> OpenTrial:
        known = self._memory.trials.get(trial.number)
        if known is None or origin != "continued":
            known = self._memory.trials[trial.number] = OpenTrial(trial=trial)
            self._keep()
        self._begun.add(trial.number)
        self._tell(lambda tracker: tracker.trial_started(trial, origin))
        return known

    def _known(self, number: int) -> OpenTrial | None:
        """A trial that has begun, in this session or in an earlier one."""
        known = self._memory.trials.get(number)
        if known is not None and number not in self._begun:
            return self._begin(known.trial, "continued")
        return known

    def _reach(self, known: OpenTrial, point: CurvePoint) -> None:
        reached, trial = point_of(point, self._metric), known.trial
        if reached.x > known.x:
            known.x = reached.x
            self._tell(lambda tracker: tracker.trial_reached(trial, reached))

    def _reported(self, number: int, point: CurvePoint) -> None:
        known = self._known(number)
        # Of a head that was trained in a pack only the last point is told, ahead of the outcome
        # with the whole curve; written now, its line would run backwards.
        if known is not None and (point.step or point.epoch == known.x + 1):
            self._reach(known, point)
            self._keep()

    def _over(self, outcome: Outcome) -> None:
        number = outcome.number
        known = self._known(number)
        if known is None:
            trial = Trial(number=number, stage=outcome.stage, configuration=outcome.configuration)
            known = self._begin(trial, "new")
        for point in outcome.curve:
            self._reach(known, point)
        ending, trial = ending_of(outcome, self._metric), known.trial
        self._tell(lambda tracker: tracker.trial_ended(trial, ending))
        del self._memory.trials[number]
        self._ended += 1
        if outcome.state == "finished" and outcome.value is not None:
            best = self._memory.best
            self._memory.best = outcome.value if best is None else max(best, outcome.value)
            values = {"search/value": outcome.value, "search/best": self._memory.best}
            self._values(values, "trials", self._ended)
        self._keep()

    def _recommended(self, answer: Recommendation) -> None:
        text, at, test = markdown(answer), self._ended, answer.test
        if self._memory.answered == at:
            return  # nothing was left to do: the host repeats what is stored
        values = {
            f"answer/{answer.metric}": test.value,
            f"answer/{answer.metric}_low": test.interval.low,
            f"answer/{answer.metric}_high": test.interval.high,
        }
        self._values(values, "trials", at)
        self._tell(lambda tracker: tracker.text("recommendation", text, at))
        self._memory.answered = at
        self._keep()

    def _values(self, values: Mapping[str, float], axis: Axis, at: int) -> None:
        told = finite(values)
        self._tell(lambda tracker: tracker.values(told, axis, at))

    def _tell(self, call: Call) -> None:
        for lane in self._lanes:
            lane.tell(call)

    def _keep(self) -> None:
        if not self._keeps:
            return
        try:
            keep(self._directory, self._memory)
        except OSError as error:
            self._keeps = False
            _LOG.warning(
                "What trackers need to go on with this search after an interruption cannot be "
                "kept (%s); they go on now.",
                error,
            )
