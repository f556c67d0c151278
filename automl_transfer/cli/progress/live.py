"""Progress as a live table, for terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from automl_transfer.cli.progress.board import Board
from automl_transfer.cli.progress.lines import line_of
from automl_transfer.cli.terminal import rich_table
from automl_transfer.events import (
    BackboneExcluded,
    DataLoaded,
    Event,
    Note,
    Standing,
    TrialEnded,
)
from automl_transfer.report.figures import duration, metric_words, score
from automl_transfer.report.ranking import provisional_table, tally
from automl_transfer.report.text import plain

TOP = 5
WORTH_KEEPING = (Note, BackboneExcluded, DataLoaded, Standing)
"""Events whose line stays above the table."""


def picture(board: Board, width: int) -> RenderableType:
    """What the terminal shows at this moment."""
    parts: list[RenderableType] = [Text(plain(_clock(board)), style="bold")]
    if board.stage is not None:
        parts.append(Text(plain(_stage(board))))
    parts.append(Text(f"trials: {tally(board.counts)}"))
    best = board.best
    if best:
        parts += [Text(), rich_table(provisional_table(best, board.metric, TOP), width), Text()]
    if board.running is not None:
        parts.append(Text(plain(_running(board)), style="cyan"))
    return Group(*parts)


def _clock(board: Board) -> str:
    name = board.study.study if board.study is not None else "search"
    left = board.left
    if left is not None:
        return f"{name}: {duration(board.used)} used, {duration(left)} left"
    budget = f" of {board.study.budget}" if board.study is not None else ""
    return f"{name}: {duration(board.used)} used, {sum(board.counts.values())}{budget} done"


def _stage(board: Board) -> str:
    if board.stage is None:
        return ""
    step = board.step
    text = f"{board.stage.stage}: {board.stage.detail}".removesuffix(": ")
    return f"{text} ({step.what}: {step.done} of {step.total})" if step is not None else text


def _running(board: Board) -> str:
    if board.running is None:
        return ""
    text = f"running trial {board.running.number}: {board.running.configuration.title}"
    report = board.report
    if report is None:
        return text
    value = f"{metric_words(board.metric)} {score(board.metric, report.point.value)}"
    return f"{text}: epoch {report.point.epoch} of {report.epochs}, {value}"


class LiveBoard:
    """Follows events: lines worth keeping go above the table, which draws itself."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console

    def follow(self, event: Event) -> None:
        """Keeps the line of an event that the board has taken in, if it is worth it."""
        failed = isinstance(event, TrialEnded) and event.outcome.state == "failed"
        if failed or isinstance(event, WORTH_KEEPING):
            text = line_of(event, self._board)
            style = "yellow" if failed or getattr(event, "level", "") == "warning" else "dim"
            self._console.print(Text(plain(text), style=style))


@contextmanager
def live(board: Board, console: Console) -> Iterator[LiveBoard]:
    """Draws the board four times a second, also while a trial is silent; leaves nothing behind."""
    with Live(
        console=console,
        get_renderable=lambda: picture(board, console.width),
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
    ):
        yield LiveBoard(board, console)
