"""``automl-transfer search``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from automl_transfer.budget import DEFAULT_SECONDS, format_duration, parse_duration
from automl_transfer.cards import PORTFOLIOS
from automl_transfer.cli.options import (
    READING,
    F,
    GroupedCommand,
    GroupedOption,
    data_options,
    json_option,
    parse_count,
    reading_options,
    storage_option,
    studies_option,
)
from automl_transfer.constraints import LICENSE_POLICIES, PREFERENCES, parse_latency
from automl_transfer.errors import NothingUsableError
from automl_transfer.kinds import Kind
from automl_transfer.request import SearchRequest, hide_password, parse_devices, parse_size
from automl_transfer.task import MAXIMISED

if TYPE_CHECKING:
    from automl_transfer.cli.progress.board import Board
    from automl_transfer.events import Event, SearchStarted
    from automl_transfer.outcome import Outcome
    from automl_transfer.recommendation import Recommendation
    from automl_transfer.registry import Registry
    from automl_transfer.report.blocks import Block

SHOWN = 10
"""Rows of the ranking at the end of a search."""
INTERRUPTED, TERMINATED = 130, 143
METRIC_NAMES = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in MAXIMISED.items())

_SPACE = "What is searched over (names or globs, repeatable)"
_HOW = "How it is searched"


def _option(section: str, *names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, cls=GroupedOption, section=section, **settings)


@click.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  automl-transfer search --data ./images --budget 5m
  automl-transfer search --data photos.csv --root ./photos --label-column species --trials 30
  automl-transfer search --data ages.csv --label-column age --task regression
  automl-transfer search --data ./images --backbone 'timm/resnet18*' --strategy full --offline
  automl-transfer search --data ./images --exclude lora --max-params 25M --metric macro_f1
  automl-transfer search --data ./images --max-latency 20ms --license permissive --prefer size

Data are class folders, train/val/test folders with class folders inside, or a CSV or Parquet
manifest, which may also have several labels or a number a row (--task). Ctrl-C stops cleanly; the
same command resumes.""",
)
@_option(
    "What and how long",
    "--data",
    required=True,
    metavar="PATH",
    help="The labelled data; an archive of them is extracted into the cache.",
)
@_option(
    "What and how long",
    "--budget",
    metavar="TIME",
    help="Wall time over all sessions of the study, at least 30s, such as 90s, 5m or 1h30m. "
    "10m if neither this nor --trials is given.",
)
@_option("What and how long", "--trials", type=int, metavar="N", help="Number of trials.")
@_option(
    "What and how long",
    "--metric",
    default="auto",
    metavar="METRIC",
    show_default=True,
    help=f"What is maximised: auto, or by the kind of task {METRIC_NAMES}.",
)
@_option(
    "What and how long",
    "--seed",
    type=int,
    default=0,
    metavar="N",
    show_default=True,
    help="Decides splits, proposals and training.",
)
@_option(
    "What and how long",
    "--device",
    default="auto",
    metavar="DEVICE",
    show_default=True,
    help="auto, cpu, cuda, cuda:1, mps.",
)
@_option(
    "What and how long",
    "--devices",
    metavar="LIST",
    help="Fine-tune on several at once, such as 0,1 or cuda:0,cuda:1: one process each. The rest "
    "of the search runs on the first.",
)
@_option(
    "What and how long",
    "--workers",
    type=int,
    default=1,
    metavar="N",
    show_default=True,
    help="Processes that fine-tune side by side on this machine: one a GPU, or N on the CPU. On "
    "other machines start `automl-transfer worker`.",
)
@_option(
    "Where",
    "--cache-size",
    metavar="SIZE",
    help="Bytes of decoded data and features to keep for all studies, such as 20G; 0: none. "
    "[default: 20G, or a tenth of the free disk if that is less]",
)
@_option("Where", "--study", default="", metavar="NAME", help="Name of the study.")
@studies_option
@storage_option
@_option(_SPACE, "--backbone", multiple=True, metavar="PATTERN", help="Backbones.")
@_option(_SPACE, "--head", multiple=True, metavar="PATTERN", help="Heads.")
@_option(_SPACE, "--strategy", multiple=True, metavar="PATTERN", help="Freeze strategies.")
@_option(_SPACE, "--exclude", multiple=True, metavar="PATTERN", help="What to leave out.")
@_option(
    _SPACE,
    "--portfolio",
    default="small",
    metavar="SIZE",
    show_default=True,
    help=f"Backbones if none is named: {', '.join(PORTFOLIOS)}.",
)
@_option(_SPACE, "--max-params", metavar="COUNT", help="Largest backbone, such as 25M.")
@_option(
    _SPACE,
    "--max-latency",
    metavar="TIME",
    help="Slowest backbone and answer, such as 20ms: a batch of one, measured on this device.",
)
@_option(
    _SPACE,
    "--license",
    default="any",
    metavar="POLICY",
    show_default=True,
    help=f"Terms of the weights: {', '.join(LICENSE_POLICIES)} (known to allow any use).",
)
@_option(
    _HOW,
    "--prefer",
    default="latency",
    metavar="WHAT",
    show_default=True,
    help=f"Decides between configurations that no test tells apart: {', '.join(PREFERENCES)}.",
)
@_option(
    _HOW,
    "--tolerance",
    type=float,
    default=1.0,
    metavar="POINTS",
    show_default=True,
    help="How many points of the metric (hundredths, also of the log-loss) may be given up for "
    "that.",
)
@_option(_SPACE, "--epochs", type=int, metavar="N", help="Epochs of a fine-tuning trial.")
@_option(
    _HOW,
    "--sampler",
    default="tpe",
    metavar="NAME",
    show_default=True,
    help="Proposes hyper-parameters: tpe, gp, random, or a plugin's.",
)
@_option(
    _HOW,
    "--pruner",
    default="rungs",
    metavar="NAME",
    show_default=True,
    help="Stops fine-tunes early: rungs, hyperband, median, none, or a plugin's.",
)
@_option(
    _HOW,
    "--ranker",
    default="ridge",
    metavar="NAME",
    show_default=True,
    help="Orders backbones before training: ridge, logme, knn, or a plugin's.",
)
@_option(_HOW, "--compile", is_flag=True, help="Fine-tune through torch.compile.")
@_option(_SPACE, "--offline", is_flag=True, help="Never touch the network.")
@reading_options
@_option(
    READING,
    "--hold-out",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Whether a test part is drawn; auto: from 500 samples on. Without one, the answer is "
    "scored by cross-validation.",
)
@json_option
@click.option("--quiet", is_flag=True, help="No progress, only warnings and the answer.")
@click.pass_context
def search(ctx: click.Context, /, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Find the best transfer configuration for labelled data, or resume a search.

    Tries pretrained backbones with heads, freeze strategies and hyper-parameters, ranks them on
    a validation part, and scores the winner once on a test part that the search never saw.
    """
    from automl_transfer.cli.interrupt import TerminatedError
    from automl_transfer.cli.progress.board import Board
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.streams import inform, write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.jsonable import to_json

    request = _request(**asked)
    if asked["budget"] is None and asked["trials"] is None and not quiet:
        inform(f"Neither --budget nor --trials is given: {format_duration(DEFAULT_SECONDS)}.")
    registry = loaded_registry()
    board = Board(request.budget_seconds)
    try:
        answer = _follow(request, registry, board, quiet, ctx.obj)
    except KeyboardInterrupt as stopped:
        _say_how_to_resume(request, board)
        ctx.exit(TERMINATED if isinstance(stopped, TerminatedError) else INTERRUPTED)
    if answer is None:
        raise NothingUsableError(
            f"A search must end with an answer, but this one has none. Repeat: {request.command}"
        )
    if as_json:
        write_json(to_json(answer))
    else:
        write_blocks(_final(request, answer))


def _request(
    *,
    data: str,
    budget: str | None,
    trials: int | None,
    devices: str | None,
    max_params: str | None,
    max_latency: str | None,
    cache_size: str | None,
    backbone: tuple[str, ...],
    head: tuple[str, ...],
    strategy: tuple[str, ...],
    task: Kind | Literal["auto"],
    modality: str | None,
    path_column: str,
    label_column: str,
    label_separator: str,
    split_column: str | None,
    group_by: str | None,
    root: str | None,
    **same: Any,
) -> SearchRequest:
    seconds = parse_duration(budget) if budget is not None else None
    if seconds is None and trials is None:
        seconds = DEFAULT_SECONDS
    return SearchRequest(
        data=str(Path(data).absolute()),
        budget_seconds=seconds,
        trials=trials,
        devices=parse_devices(devices) if devices is not None else (),
        max_params=parse_count(max_params) if max_params is not None else None,
        max_latency=parse_latency(max_latency) if max_latency is not None else None,
        cache_size=parse_size(cache_size) if cache_size is not None else None,
        backbones=backbone,
        heads=head,
        strategies=strategy,
        options=data_options(
            task=task,
            modality=modality,
            path_column=path_column,
            label_column=label_column,
            label_separator=label_separator,
            split_column=split_column,
            group_by=group_by,
            root=root,
        ),
        **same,
    )


def _follow(
    request: SearchRequest, registry: Registry, board: Board, quiet: bool, started: float
) -> Recommendation | None:
    """Runs the search and shows it. Returns its answer."""
    from automl_transfer.cli.interrupt import two_steps
    from automl_transfer.events import Recommended, SearchStarted
    from automl_transfer.searching import run_search

    answer: Recommendation | None = None
    events = run_search(request, registry, started)
    with two_steps() as asked, _closing(events), _display(board, quiet) as follow:
        for event in events:
            asked.check()
            board.follow(event)
            if isinstance(event, SearchStarted) and event.resumed:
                board.remember(_earlier(event, request))
            if isinstance(event, Recommended):
                answer = event.recommendation
            follow(event)
    return answer


@contextmanager
def _closing(events: Iterator[Event]) -> Iterator[None]:
    # Closing the events closes the study, also when it was the rendering that was interrupted.
    try:
        yield
    finally:
        if isinstance(events, Generator):
            events.close()


def _earlier(started: SearchStarted, request: SearchRequest) -> list[Outcome]:
    """Trials of earlier sessions, for the table of the best."""
    from automl_transfer.cli.reading import opened

    with opened(Path(started.directory), request.studies, request.storage) as study:
        return study.trials


@contextmanager
def _display(board: Board, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """What to call with each event: a live table on a terminal, lines elsewhere."""
    from automl_transfer.cli.progress.lines import Lines
    from automl_transfer.cli.streams import inform, warn
    from automl_transfer.cli.terminal import console
    from automl_transfer.events import Note

    err = console(stderr=True)
    if quiet:

        def only_warnings(event: Event) -> None:
            if isinstance(event, Note) and event.level == "warning":
                warn(event.text)

        yield only_warnings
    elif err.is_terminal and not err.is_dumb_terminal:
        from automl_transfer.cli.progress.live import live

        with live(board, err) as drawn:
            yield drawn.follow
    else:
        yield Lines(board, inform).follow


def _say_how_to_resume(request: SearchRequest, board: Board) -> None:
    from automl_transfer.cli.streams import inform
    from automl_transfer.report.figures import metric_words, score
    from automl_transfer.report.ranking import tally
    from automl_transfer.report.text import plain

    inform(f"Interrupted after {format_duration(board.used)}: {tally(board.counts)}.")
    best = board.best
    if best:
        inform(
            f"Best so far: {plain(best[0].configuration.title)}, "
            f"{metric_words(board.metric)} {score(board.metric, best[0].value)} (validation). "
            f"See it with: automl-transfer show {plain(request.name)}"
        )
    inform(f"Resume with:\n  {plain(board.study.command if board.study else request.command)}")
    if request.storage and hide_password(request.storage) != request.storage:
        inform("The password is not shown: give the URL in AUTOML_TRANSFER_STORAGE instead.")


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _final(request: SearchRequest, answer: Recommendation) -> list[Block]:
    from automl_transfer.artifacts import StudyDirectory
    from automl_transfer.report.blocks import Heading, Table, columns
    from automl_transfer.report.complete import final_blocks

    studies = _from_here(Path(request.studies))
    files = StudyDirectory(studies / request.name)
    where = () if studies == Path("studies") else ("--studies", str(studies))
    rows = (
        ("report", str(files.page)),
        ("the same as text", str(files.report)),
        ("model", str(files.path / answer.model)),
        ("all about it", shlex.join(("automl-transfer", "show", request.name, *where, "--why"))),
        ("all trials in a browser", shlex.join(("automl-transfer", "dashboard", *where))),
        ("use it", shlex.join(("automl-transfer", "predict", request.name, *where)) + " FILE..."),
    )
    return [
        *final_blocks(answer, SHOWN),
        Heading(text="Next"),
        Table(columns=columns("what", "where"), rows=rows),
    ]
