"""The sentence that answers the question, and how far the search has come. Markdown."""

from __future__ import annotations

from typing import Any

from automl_transfer.budget import format_duration
from automl_transfer.configuration import Configuration
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import (
    ago,
    code_span,
    counted,
    finite,
    interval_text,
    metric_words,
    plain,
    score_text,
)
from automl_transfer.report.certainty import is_held_out, place
from automl_transfer.summary import Summary


def sentence(snapshot: Snapshot) -> str:
    """The answer, or how near the search is to one, as one line of Markdown."""
    answer = snapshot.recommendation
    if answer is not None and snapshot.is_final:
        score = answer.test
        if is_held_out(score):
            where = f"on {counted(score.samples, 'test sample')} that the search never saw"
        else:
            where = f"{place(score)} over {counted(score.samples, 'sample')}"
        return (
            f"Use {configuration_words(answer.winner.configuration)}: "
            f"**{score_text(answer.metric, score.value)} {metric_words(answer.metric)}** "
            f"({interval_text(answer.metric, score.interval)}) {where}."
        )
    best = snapshot.best_first
    if best:
        value = score_text(snapshot.metric, best[0].value)
        return (
            f"So far the best is {configuration_words(best[0])}: **{value} "
            f"{metric_words(snapshot.metric)}** on the validation data that it was chosen on."
        )
    if snapshot.trials and snapshot.standing() not in ("running", "quiet"):
        count = counted(len(snapshot.trials), "trial", "trials")
        return f"There is no answer: none of {count} finished."
    if snapshot.everything:
        return "There is no answer yet: no trial has finished."
    return "There is no answer yet: no trial has begun."


def is_provisional(snapshot: Snapshot) -> bool:
    """Whether there is an answer that may still change, or was never tested."""
    return bool(snapshot.best_first) and (
        not snapshot.is_final or snapshot.standing() in ("running", "quiet")
    )


def progress(snapshot: Snapshot) -> tuple[float | None, str]:
    """Share of the budget that is spent, from 0 to 1 or None, and the same in plain text."""
    request, status = snapshot.request, snapshot.status
    spent = _number(status.get("spent"))
    done = len(snapshot.trials)
    shares = []
    if request.budget_seconds:
        shares.append(spent / request.budget_seconds)
    if request.trials:
        shares.append(done / request.trials)
    parts = [f"Stage: {plain(status.get('stage') or '–')}"]
    limit = f" of {format_duration(request.budget_seconds)}" if request.budget_seconds else ""
    parts.append(f"{format_duration(spent)} spent{limit}")
    if request.budget_seconds and snapshot.standing() == "running":
        parts.append(f"about {format_duration(request.budget_seconds - spent)} left")
    wanted = f" (budget: {request.trials:,})" if request.trials else ""
    parts.append(f"{trials_text(snapshot)}{wanted}")
    if status.get("updated"):
        parts.append(f"last heard of {ago(status['updated'])}")
    return (min(1.0, max(shares)) if shares else None), " · ".join(parts)


def trials_text(snapshot: Snapshot) -> str:
    """``12 trials: 8 finished, 1 running, 2 pruned, 1 failed``."""
    counts = snapshot.counts
    counts["running"] = len(snapshot.everything) - len(snapshot.trials)
    total = counted(len(snapshot.everything), "trial", "trials")
    states = [
        f"{counts[state]} {state}"
        for state in ("finished", "running", "pruned", "failed")
        if counts[state]
    ]
    return f"{total}: {', '.join(states)}" if states else total


def configuration_words(parts: Configuration | Summary) -> str:
    """What was trained, in Markdown."""
    return (
        f"{code_span(parts.backbone)} with the {code_span(parts.head)} head, "
        f"strategy {code_span(parts.strategy)}"
    )


def _number(value: Any) -> float:
    return finite(value)
