"""Whether a search is still improving, by a rule that can be said in two sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from automl_transfer.budget import format_duration
from automl_transfer.dashboard.progress_rows import Progress
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import counted
from automl_transfer.report.figures import difference

LEAST = 20
"""Finished trials, without which nothing is said."""
_STILL, _DONE = 0.25, 0.5
"""Share of the trials since the last gain: below the first it improves, from the second on not."""
_NORMAL = 1.96
"""Standard errors of half a 95 % interval."""
_HITS = ("accuracy", "subset_accuracy", "top5_accuracy")
"""Metrics that are a mean of right and wrong."""

RULE = (
    f"The rule: it still improves if the last gain lies in the last {100 * _STILL:.0f} % of the "
    f"finished trials, and has ended if it lies in the first {100 * (1 - _DONE):.0f} %. A gain "
    "over the second half that is smaller than one standard error of the best score counts as "
    "none: so much comes of choosing the luckiest of many."
)

Verdict = Literal["few", "quiet", "chance", "slowing", "improving"]


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """How the best score came on."""

    verdict: Verdict
    """``quiet``: the second half of the trials brought nothing; ``chance``: no more than chance
    does; ``few``: there are too few trials to say."""
    finished: int
    trial: int
    """The one that was the last gain."""
    since: int
    """Finished trials after it."""
    seconds: float | None
    """From it to the end of the last one, if that is known."""
    gain: float
    """Of the second half of the trials."""
    chance: float | None
    """One standard error of the best score."""


def improvement(found: Progress, chance: float | None) -> Improvement | None:
    """Judges a search; None before a trial has finished.

    Args:
        found: Its trials.
        chance: One standard error of the best score, if that is known.
    """
    rows = found.finished
    if rows.empty:
        return None
    gains = rows["gain"].to_numpy()
    last = int(gains.nonzero()[0][-1])
    since = len(rows) - 1 - last
    half = len(rows) // 2
    best = float(rows["best"].iloc[-1])
    gain = best - float(rows["best"].iloc[half - 1]) if half else 0.0
    share = since / len(rows)
    verdict: Verdict
    if len(rows) < LEAST:
        verdict = "few"
    elif share >= _DONE or gain <= 0:
        verdict = "quiet"
    elif chance is not None and gain < chance:
        verdict = "chance"
    else:
        verdict = "improving" if share < _STILL else "slowing"
    ends = rows["seconds"]
    return Improvement(
        verdict=verdict,
        finished=len(rows),
        trial=int(rows["trial"].iloc[last]),
        since=since,
        seconds=float(ends.max() - ends.iloc[last]) if found.timed else None,
        gain=gain,
        chance=chance,
    )


def chance_of(study: Snapshot) -> float | None:
    """One standard error of the best score on the validation part; None where it is not known."""
    answer = study.recommendation
    if answer is not None and answer.winner.interval is not None:
        ends = answer.winner.interval
        return (ends.high - ends.low) / (2 * _NORMAL)
    counts = study.data.get("counts")
    samples = counts.get("val") if isinstance(counts, dict) else None
    if not study.best_first or study.metric not in _HITS or not isinstance(samples, int):
        return None
    value = study.best_first[0].value
    if value is None or samples <= 0 or not 0 <= value <= 1:
        return None
    return math.sqrt(value * (1 - value) / samples)


def sentence(study: Snapshot, found: Improvement | None) -> str:
    """How far the search came, and whether more of it would help. Markdown without names."""
    standing = study.standing()
    going = standing in ("running", "quiet")
    if found is None:
        return _nothing(study, going)
    spent = study.status.get("spent")
    time = f" in {format_duration(spent)}" if isinstance(spent, (int, float)) and spent else ""
    return f"{counted(len(study.trials), 'trial')}{time}; {_judged(study, found, going)}."


def _nothing(study: Snapshot, going: bool) -> str:
    if study.trials:
        count = counted(len(study.trials), "trial")
        rest = "so far; " if going else ""
        return f"{count}, and none finished: {rest}the section *Failed and pruned* says why."
    if going:
        return "No trial has ended yet; the chart begins with the first one."
    return "No trial was made, so there is no progress to show."


def _judged(study: Snapshot, found: Improvement, going: bool) -> str:
    ago = "" if found.seconds is None else f" ({format_duration(found.seconds)})"
    last = f"the last {counted(found.since, 'finished trial')}{ago}"
    if found.verdict == "few":
        finished = "" if found.finished == len(study.trials) else f"{found.finished} finished, "
        return f"{finished}too few to tell whether it is still improving"
    if found.verdict == "quiet":
        return f"the best has not improved for {last}: more time is not expected to help"
    if found.verdict == "chance":
        gain = difference(study.metric, found.gain)
        chance = difference(study.metric, found.chance or 0.0)
        return (
            f"the second half of them gained {gain}, less than chance may give (± {chance}): "
            "more time is not expected to help"
        )
    if found.verdict == "slowing":
        return f"the best has not improved for {last}: more time may still help a little"
    when = "ago" if going else "before the end"
    if not found.since:
        return "still improving: the last gain was the last finished trial"
    trials = counted(found.since, "finished trial")
    time = "" if found.seconds is None else f", {format_duration(found.seconds)}"
    return f"still improving: the last gain was {trials}{time} {when}"
