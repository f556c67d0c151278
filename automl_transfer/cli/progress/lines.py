"""Progress as plain lines, for what is not a terminal."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import shorten

from automl_transfer.cli.progress.board import Board
from automl_transfer.events import (
    BackboneExcluded,
    BackboneScreened,
    DataLoaded,
    Event,
    Note,
    Progress,
    SearchStarted,
    StageStarted,
    Standing,
    TrialEnded,
    TrialReported,
)
from automl_transfer.outcome import Outcome
from automl_transfer.report.figures import (
    counted,
    duration,
    interval,
    metric_words,
    outputs,
    score,
)
from automl_transfer.report.text import plain

PAUSE = 5.0
"""Seconds between two lines about the same long step."""


def line_of(event: Event, board: Board) -> str | None:
    """One line about an event, to be made inert; None for events that are no news.

    Args:
        event: What happened.
        board: The state of the search, with this event taken in.
    """
    match event:
        case SearchStarted():
            resumed = f", resumed with {counted(event.resumed, 'trial')}" if event.resumed else ""
            return f"study {event.study} in {event.directory}, budget {event.budget}{resumed}"
        case StageStarted():
            return f"{event.stage}: {event.detail}" if event.detail else event.stage
        case Progress():
            return f"{event.what}: {event.done} of {event.total}"
        case DataLoaded():
            return _data(event)
        case Note():
            return f"warning: {event.text}" if event.level == "warning" else event.text
        case BackboneExcluded():
            return f"left out: {event.backbone}: {_brief(event.reason)}"
        case BackboneScreened():
            took = "from the cache" if event.cached else duration(event.seconds)
            text = f"{event.backbone}: {event.ranker} {event.score:.3f} on {event.samples} samples"
            if event.verdict:
                return f"{text}; {event.verdict}"
            return f"screened {text} ({took})"
        case Standing():
            return standing_text(event)
        case TrialReported():
            step = f", step {event.point.step}" if event.point.step else ""
            return (
                f"trial {event.number}: epoch {event.point.epoch} of {event.epochs}{step}, "
                f"{metric_words(board.metric)} {score(board.metric, event.point.value)}"
            )
        case TrialEnded():
            return _trial(event.outcome, board)
        case _:
            return None


def standing_text(event: Standing) -> str:
    """The best backbone so far, and how many others cannot be told from it."""
    best = event.rows[0]
    alike = sum(1 for row in event.rows[1:] if row.value >= best.interval.low)
    others = f"; {counted(alike, 'other')} within its interval" if alike else ""
    return (
        f"so far: {best.backbone} with a ridge head, {metric_words(event.metric)} "
        f"{score(event.metric, best.value)} ({interval(event.metric, best.interval)}), each of "
        f"{best.samples} samples left out in turn{others}"
    )


def _data(event: DataLoaded) -> str:
    parts = ", ".join(f"{number} {part}" for part, number in event.counts.items())
    return (
        f"data: {counted(sum(event.counts.values()), 'sample')}, "
        f"{outputs(event.kind, event.classes)} ({event.layout}): {parts}; "
        f"metric {metric_words(event.metric)} ({event.metric_reason})"
    )


def _trial(row: Outcome, board: Board) -> str:
    text = f"trial {row.number} {row.state}: {row.configuration.title}"
    if row.state != "finished":
        return f"{text}: {row.reason or 'no reason was given'} ({duration(row.seconds)})"
    best = board.best
    crown = ", best so far" if best and best[0].number == row.number else ""
    value = f"{metric_words(board.metric)} {score(board.metric, row.value)}"
    return f"{text}: {value} ({duration(row.seconds)}{crown})"


class Lines:
    """Writes a line for each event that matters, and few about long steps."""

    def __init__(self, board: Board, write: Callable[[str], None]) -> None:
        self._board = board
        self._write = write
        self._told = 0.0

    def follow(self, event: Event) -> None:
        """Writes what there is to say about an event that the board has taken in."""
        now = self._board.session
        if isinstance(event, (Progress, TrialReported)):
            if now - self._told < PAUSE:
                return
            self._told = now
        text = line_of(event, self._board)
        if text is not None:
            self._write(f"[{duration(self._board.used)}] {plain(text)}")


def _brief(reason: str) -> str:
    """The first sentence and the next step; `show --why` has all of it."""
    first, _, rest = reason.partition(". ")
    _, sign, step = rest.partition("Next step: ")
    return f"{shorten(first, 120, placeholder=' ...')}{f'. Next step: {step}' if sign else ''}"
