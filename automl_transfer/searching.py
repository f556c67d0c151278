"""The search on one page: load, screen, heads, tune, recommend."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.budget import Stopwatch, parse_duration
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import AutomlTransferError, StudyError
from automl_transfer.events import Event, Recommended, SearchStarted, StageStarted
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.report.markdown import render
from automl_transfer.request import SearchRequest
from automl_transfer.stages.context import Context, cache_directory
from automl_transfer.stages.heads import heads
from automl_transfer.stages.load import load
from automl_transfer.stages.provenance import start_provenance
from automl_transfer.stages.recommend import recommend, reserve_seconds
from automl_transfer.stages.screen import screen
from automl_transfer.stages.select import select_heads, select_strategies
from automl_transfer.stages.tune import tune
from automl_transfer.store import Store
from automl_transfer.study import STORAGE_VARIABLE, Study

_HUB_OFFLINE = "HF_HUB_OFFLINE"


def run_search(request: SearchRequest, registry: Registry) -> Iterator[Event]:
    """Runs or resumes a search, and yields what happens.

    Everything is stored before it is yielded: a consumer that stops, or is killed, loses at most
    the trial under way, and the same request resumes the study.

    Raises:
        AutomlTransferError: Something that the user must see to; see its ``exit_code``.
    """
    started = time.monotonic()
    budget = request.budget  # refuses a search without an end before anything is made
    selected = select_heads(request, registry), select_strategies(request, registry)
    files, store = _open(request, registry)
    before = store.get("status", {})
    context = Context(
        request=request,
        registry=registry,
        store=store,
        files=files,
        watch=Stopwatch(budget, spent=float(before.get("spent", 0.0)), started=started),
        heads=selected[0],
        strategies=selected[1],
        outcomes=store.trials(),
        generation=_generation(store, registry),
    )
    status = _Status(context)
    status.write("running", "load")
    store.clear_running()
    hub = os.environ.get(_HUB_OFFLINE)
    if request.offline:
        # Families that ask the hub for a description look here, as its own library does.
        os.environ[_HUB_OFFLINE] = "1"
    try:
        yield _tell(
            context,
            SearchStarted(
                study=request.name,
                directory=str(files.path),
                resumed=len(context.outcomes),
                spent=float(before.get("spent", 0.0)),
                budget=budget.text,
                command=request.command,
            ),
        )
        for event in _stages(context):
            status.follow(event)
            yield _tell(context, event)
        status.write("finished", "recommend")
    except AutomlTransferError as error:
        status.write("failed", error=str(error))
        raise
    except BaseException:  # Ctrl-C, a consumer that stopped, a bug: the study can be resumed
        status.write("interrupted")
        raise
    finally:
        if request.offline and hub is None:
            os.environ.pop(_HUB_OFFLINE, None)
        store.clear_running()
        store.close()


def _stages(context: Context) -> Iterator[Event]:
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.training.features import FeatureCache

    context.device = choose_device(context.request.device)
    prepare_process(context.device)
    context.cache = FeatureCache(cache_directory() / "features")
    yield from load(context)
    yield from screen(context)
    reserve = reserve_seconds(context)
    yield from heads(context, reserve)
    yield from tune(context, reserve)
    context.store.put(
        "why_not", [{"what": row.what, "reason": row.reason} for row in context.why_not]
    )
    for event in recommend(context):
        if isinstance(event, Recommended):
            context.files.report.write_text(
                render(
                    event.recommendation,
                    context.store.get("data"),
                    len(context.dataset.quarantined),
                ),
                encoding="utf-8",
                errors="backslashreplace",
            )
        yield event


def _open(request: SearchRequest, registry: Registry) -> tuple[StudyDirectory, Store]:
    """Makes the study, or opens it if it was made by the same request."""
    files = StudyDirectory(Path(request.studies) / request.name)
    if files.exists:
        differences = request.differences(files.read_request())
        if differences:
            raise StudyError(
                f"Study {request.name!r} exists and was made with other options "
                f"({'; '.join(differences)}). Choose another name with --study, or repeat: "
                f"{files.read_toml()['command']}"
            )
    elif files.path.exists() and any(files.path.iterdir()):
        raise StudyError(
            f"A new study needs an empty directory, but {str(files.path)!r} holds other files. "
            "Choose another name with --study."
        )
    files.path.mkdir(parents=True, exist_ok=True)
    store = Store(request.storage or files.database_url, request.name, create=True)
    files.write_request(request, start_provenance(registry, request.seed))
    return files, store


def _generation(store: Store, registry: Registry) -> int:
    """The number of the present set of plugins among those that this study has seen."""
    seen: list[str] = store.get("generations", [])
    if registry.digest not in seen:
        seen = [*seen, registry.digest]
        store.put("generations", seen)
    return seen.index(registry.digest)


def _tell(context: Context, event: Event) -> Event:
    context.registry.notify(context.request.name, event)
    return event


class _Status:
    """Keeps the document ``status`` for whoever watches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stage = "load"

    def follow(self, event: Event) -> None:
        """Notes a new stage, and the time spent."""
        if isinstance(event, StageStarted):
            self._stage = event.stage
        self.write("running")

    def write(self, state: str, stage: str | None = None, error: str | None = None) -> None:
        """Stores the state of the search."""
        self._stage = stage or self._stage
        request = self._context.request
        self._context.store.put(
            "status",
            {
                "state": state,
                "stage": self._stage,
                "spent": self._context.watch.elapsed,
                "budget": request.budget_seconds,
                "trials": request.trials,
                "pid": os.getpid(),
                "updated": time.time(),
                "error": error,
            },
        )


def search(
    data: str | Path,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    study: str = "",
    studies: str | Path = "studies",
    storage: str | None = None,
    seed: int = 0,
    device: str = "auto",
    metric: str = "auto",
    backbones: Sequence[str] = (),
    heads: Sequence[str] = (),
    strategies: Sequence[str] = (),
    exclude: Sequence[str] = (),
    portfolio: str = "small",
    max_params: int | None = None,
    epochs: int | None = None,
    offline: bool = False,
    options: DataOptions | None = None,
    plugins: Sequence[object] = (),
    on_event: Callable[[Event], Any] | None = None,
) -> Study:
    """Searches for the transfer configuration that suits the data, or resumes such a search.

    Args:
        data: Class folders, train/val/test folders, or a CSV or Parquet manifest.
        budget: Wall time, in seconds or as text (``"5m"``). 10 minutes if neither this nor
            ``trials`` is given.
        trials: Number of trials. With the same seed, machine and versions, on the CPU, the same
            trials give the same ranking.
        study: Name of the study; made from the data's name and the options when empty.
        studies: Directory of all studies.
        storage: SQLAlchemy URL for the rows; an SQLite file in the study when None.
        seed: Decides splits, proposals and training.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        metric: ``auto`` or a member of :data:`automl_transfer.task.METRICS`.
        backbones: Names or globs; the portfolio and installed plugins when empty.
        heads: Names or globs; all when empty.
        strategies: Names or globs; all but baselines when empty.
        exclude: Globs over backbones, heads and strategies.
        portfolio: ``tiny``, ``small``, ``base`` or ``large``.
        max_params: Backbones with more parameters are left out.
        epochs: Epochs of a fine-tuning trial; as many as the budget allows when None.
        offline: Never touches the network.
        options: Columns of a manifest, and the like.
        plugins: Plugin modules or objects to load beside the installed ones.
        on_event: Called with each event, as the command line is.

    Returns:
        The study, with ``ranking``, ``recommendation`` and ``model``.

    Raises:
        AutomlTransferError: Something is wrong that the text explains.
    """
    seconds = parse_duration(budget) if isinstance(budget, str) else budget
    if seconds is None and trials is None:
        seconds = 600.0
    request = SearchRequest(
        data=str(Path(data).absolute()),
        study=study,
        studies=str(studies),
        storage=storage or os.environ.get(STORAGE_VARIABLE),
        budget_seconds=seconds,
        trials=trials,
        seed=seed,
        device=device,
        metric=metric,
        backbones=tuple(backbones),
        heads=tuple(heads),
        strategies=tuple(strategies),
        exclude=tuple(exclude),
        portfolio=portfolio,
        max_params=max_params,
        epochs=epochs,
        offline=offline,
        options=options or DataOptions(),
    )
    registry = load_registry(extra=plugins)
    for event in run_search(request, registry):
        if on_event is not None:
            on_event(event)
    return Study(Path(studies) / request.name, request.storage)
