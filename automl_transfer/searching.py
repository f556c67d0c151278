"""The search on one page: load, screen, heads, tune, confirm, recommend."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.budget import DEFAULT_SECONDS, Stopwatch, parse_duration
from automl_transfer.constraints import LicensePolicy, Preference, parse_latency
from automl_transfer.dataset import DataOptions, HoldOut
from automl_transfer.errors import StudyError
from automl_transfer.events import Event, Note, Recommended, SearchStarted, StageStarted
from automl_transfer.gather import BACKBONES, HEADS, STRATEGIES
from automl_transfer.jsonable import to_json
from automl_transfer.opening import known_backbones, only_one, open_study
from automl_transfer.plugins import load_registry
from automl_transfer.recommendation import Recommendation
from automl_transfer.registry import Registry
from automl_transfer.report.files import write_reports
from automl_transfer.report.material import gather
from automl_transfer.report.stills import stills
from automl_transfer.request import SearchRequest, parse_devices, parse_size
from automl_transfer.stages.bracket import reserved
from automl_transfer.stages.confirm import confirm
from automl_transfer.stages.context import Context, cache_directory
from automl_transfer.stages.forecast import Forecast
from automl_transfer.stages.heads import first_answer, heads
from automl_transfer.stages.load import load, recognise
from automl_transfer.stages.looking_back import first_views, look_back
from automl_transfer.stages.recommend import recommend
from automl_transfer.stages.reserve import end_if_one_wins, reserve, reserve_if_it_wins
from automl_transfer.stages.screen import screen, screen_late
from automl_transfer.stages.select import (
    check_excluded,
    select_backbones,
    select_heads,
    select_strategies,
)
from automl_transfer.stages.speeds import Speeds
from automl_transfer.stages.spool import take_in
from automl_transfer.stages.status import Status
from automl_transfer.stages.tune import tune
from automl_transfer.store import GRACE, Store
from automl_transfer.study import STORAGE_VARIABLE, Study

_HUB_OFFLINE = "HF_HUB_OFFLINE"


def run_search(
    request: SearchRequest, registry: Registry, started: float | None = None
) -> Iterator[Event]:
    """Runs or resumes a search, and yields what happens.

    Everything is stored before it is yielded: a consumer that stops, or is killed, loses at most
    the trial under way, and the same request resumes the study.

    Args:
        request: What is asked.
        registry: Of the plugins.
        started: When the user began to wait, by the monotonic clock; now when None.

    Raises:
        AutomlTransferError: Something that the user must see to; see its ``exit_code``.
    """
    started = time.monotonic() if started is None else started
    budget = request.budget  # refuses a search without an end before anything is made
    with _offline(request.offline):
        # Whatever is wrong with the request is said before a study is made of it.
        heads, strategies = select_heads(request, registry), select_strategies(request, registry)
        registry.ranker(request.ranker)
        registry.sampler(request.sampler)
        registry.pruner(request.pruner)
        check_excluded(request, registry)
        _check_devices(request)
        recognised = recognise(request, registry)
        files = StudyDirectory(Path(request.studies) / request.name)
        earlier = known_backbones(request, files)
        selected = tuple(select_backbones(request, registry, recognised[0].id, earlier))
        with only_one(files):
            store = open_study(request, registry, files)
            take_in(files, store)
            before = store.get("status", {})
            context = Context(
                request=request,
                registry=registry,
                store=store,
                files=files,
                watch=Stopwatch(budget, spent=float(before.get("spent", 0.0)), started=started),
                recognised=recognised,
                selected=selected,
                heads=heads,
                strategies=strategies,
                outcomes=store.trials(),
                reserved=reserved(store),
                generation=_generation(store, registry),
            )
            yield from _recorded(context, before)


def _recorded(context: Context, before: dict[str, Any]) -> Iterator[Event]:
    """The stages, with the state of the search kept in the document ``status``."""
    status, resumed = Status(context), len(context.outcomes)
    store = context.store
    store.put(GRACE, store.jobs().grace)
    status.write("running", "load")
    store.clear_running()
    try:
        yield _tell(
            context,
            SearchStarted(
                study=context.request.name,
                directory=str(context.files.path),
                resumed=resumed,
                spent=float(before.get("spent", 0.0)),
                budget=context.request.budget.text,
                command=context.request.command,
            ),
        )
        for text in _changed(context):
            yield _tell(context, Note(text=text, level="warning"))
        for event in _stages(context):
            status.follow(event)
            yield _tell(context, event)
        status.write("finished", "recommend")
    except Exception as error:
        if before.get("state") == "finished" and len(context.outcomes) == resumed:
            store.put("status", before)  # a refused repeat takes nothing from what is finished
        else:
            with contextlib.suppress(StudyError):
                status.write("failed", error=str(error) or type(error).__name__)
        raise
    except BaseException:  # Ctrl-C, or a consumer that stopped: the study can be resumed
        with contextlib.suppress(StudyError):
            status.write("interrupted")
        raise
    finally:
        with contextlib.suppress(StudyError):  # what went wrong before is what matters
            store.clear_running()
        store.close()


@contextlib.contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Families that ask the hub for a description look here, as its own library does."""
    before = os.environ.get(_HUB_OFFLINE)
    if wanted:
        os.environ[_HUB_OFFLINE] = "1"
    try:
        yield
    finally:
        if wanted and before is None:
            os.environ.pop(_HUB_OFFLINE, None)


def _check_devices(request: SearchRequest) -> None:
    """Refuses devices that are not here; what is always here is not looked for."""
    option = "--devices" if request.devices else "--device"
    for name in request.devices or (request.device,):
        if name not in ("auto", "cpu"):
            from automl_transfer.training.device import choose_device

            choose_device(name, option)


def _stages(context: Context) -> Iterator[Event]:
    from automl_transfer.training.device import (
        choose_device,
        describe,
        give_back_freed,
        prepare_process,
    )

    context.set_device(choose_device(context.request.first_device))
    prepare_process(context.device)
    with _workers(context), _fleet(context):
        if context.request.workers > 1:
            yield Note(text=_who_works(context))
        machine = describe(context.device)
        if context.workers is not None and context.workers.sharing > 1:
            machine += f", shared by {context.workers.sharing} processes"
        context.speeds = Speeds(cache_directory() / "speeds.json", machine)
        context.forecast = Forecast(context)
        for event in _in_turn(context):
            if isinstance(event, StageStarted):
                give_back_freed()
            yield event


@contextlib.contextmanager
def _workers(context: Context) -> Iterator[None]:
    """Processes for fine-tuning, if there are several devices; none of them outlives the block."""
    from automl_transfer.stages.workers import Workers

    devices = context.request.devices
    if len(devices) < 2 or not any(card.trains_backbone for card in context.strategies):
        yield
        return
    context.workers = Workers(devices, context.registry, context.files.path / "workers")
    try:
        yield
    finally:
        context.workers.close()
        context.workers = None


def _who_works(context: Context) -> str:
    assert context.fleet is not None
    local = context.fleet.local
    if local is None:
        return (
            "No strategy of this search trains the backbone: --workers has nothing to do, and "
            "this process works alone."
        )
    logs = ", ".join(str(path) for path in local.logs)
    return f"This process and {len(local.logs)} worker(s) of its own work; what they say: {logs}."


@contextlib.contextmanager
def _fleet(context: Context) -> Iterator[None]:
    """Lets workers of this and other machines help, for as long as the block lasts."""
    from automl_transfer.stages.fleet import Fleet
    from automl_transfer.stages.local_workers import LocalWorkers
    from automl_transfer.training.device import usable_cores, worker_devices

    request = context.request
    context.fleet = Fleet(context, context.store.jobs())
    try:
        if request.workers > 1 and any(card.trains_backbone for card in context.strategies):
            context.fleet.local = LocalWorkers(
                context.files.path.absolute(),
                worker_devices(context.device, request.workers)[1:],
                threads=max(1, usable_cores() // request.workers),
                storage=request.storage,
            )
        yield
    finally:
        context.fleet.close()
        context.fleet = None


def _in_turn(context: Context) -> Iterator[Event]:
    yield from load(context)
    first_views(context)
    if context.workers is not None:
        context.workers.check()
    stored = context.files.read_recommendation()
    used_up = context.trials_left() <= 0 or context.watch.left <= 0
    if stored is not None and used_up and stored.trials_total == len(context.outcomes):
        yield Note(
            text=(
                f"Nothing is left to do: {context.watch.elapsed:.0f} s and "
                f"{len(context.outcomes)} trials of {context.request.budget.text} are used up "
                "(a budget counts over all sessions of a study). Raise --budget or --trials to go "
                "on."
            )
        )
        yield Recommended(recommendation=stored)
        return
    yield from screen(context, first_answer)
    yield from heads(context, reserve(context).seconds)
    yield from tune(context, lambda: partial(reserve_if_it_wins, context, reserve(context)))
    # What could not be filled with fine-tunes goes to backbones that came too late, and to heads.
    yield from screen_late(context, first_answer, reserve(context).seconds)
    if context.request.budget_seconds is not None:
        yield from heads(context, reserve(context).seconds, leftover=True)
    yield from confirm(context, end_if_one_wins(context))
    context.store.put("why_not", to_json(context.why_not))
    for event in recommend(context):
        if isinstance(event, Recommended):
            yield from look_back(context, event.recommendation)
            yield from _reports(context, event.recommendation)
        yield event


def _reports(context: Context, answer: Recommendation) -> Iterator[Event]:
    """Writes the report twice. The answer is stored by now: nothing here may take it away."""
    test = answer.test
    sources = [row.source for row in test.errors] + [row.source for row in test.misses]
    try:
        write_reports(
            context.files,
            gather(
                answer,
                context.store.get,
                context.outcomes,
                stills(context.modality, context.dataset, sources),
            ),
        )
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        yield Note(text=f"The report could not be written ({cause}).", level="warning")


def _generation(store: Store, registry: Registry) -> int:
    """The number of the present set of plugins among those that this study has seen."""
    seen: list[str] = store.get("generations", [])
    if registry.digest not in seen:
        seen = [*seen, registry.digest]
        store.put("generations", seen)
    return seen.index(registry.digest)


def _changed(context: Context) -> list[str]:
    """Members of the study's trials that are not what they were, in words; and notes what they
    are now."""
    before: dict[str, str] = context.store.get("members", {})
    now = context.registry.inventory
    used = {
        kind.named(id)
        for row in context.outcomes
        for kind, id in (
            (BACKBONES, row.configuration.backbone),
            (HEADS, row.configuration.head),
            (STRATEGIES, row.configuration.strategy),
        )
    }
    context.store.put("members", before | now)
    return [
        f"{name} has changed: it was {before[name]}, and is {now[name]}. Its earlier trials stay "
        "as they were made; what is trained from now on, the finalists' fresh folds and the saved "
        "model too, is by the present one. For figures of one kind begin a new --study."
        for name in sorted(used & before.keys() & now.keys())
        if before[name] != now[name]
    ]


def _tell(context: Context, event: Event) -> Event:
    context.registry.notify(context.request.name, event)
    return event


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
    devices: str | Sequence[str] = (),
    workers: int = 1,
    metric: str = "auto",
    backbones: Sequence[str] = (),
    heads: Sequence[str] = (),
    strategies: Sequence[str] = (),
    exclude: Sequence[str] = (),
    portfolio: str = "small",
    max_params: int | None = None,
    max_latency: str | float | None = None,
    license: LicensePolicy = "any",
    prefer: Preference = "latency",
    tolerance: float = 1.0,
    epochs: int | None = None,
    sampler: str = "tpe",
    pruner: str = "rungs",
    ranker: str = "ridge",
    compile: bool = False,
    offline: bool = False,
    cache_size: int | str | None = None,
    hold_out: HoldOut = "auto",
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
        devices: Several to fine-tune on at once, as a list or as text (``"0,1"``): one process
            each, so that a script must call this below ``if __name__ == "__main__":``. The rest
            of the search runs on the first.
        workers: Processes that fine-tune side by side on this machine; more may come from others.
        metric: ``auto`` or a member of :data:`automl_transfer.task.METRICS`.
        backbones: Names or globs; the portfolio and installed plugins when empty.
        heads: Names or globs; all when empty.
        strategies: Names or globs; all but baselines when empty.
        exclude: Globs over backbones, heads and strategies.
        portfolio: ``tiny``, ``small``, ``base`` or ``large``.
        max_params: Backbones with more parameters are left out.
        max_latency: Backbones that need longer for a batch of one on this device are left out:
            seconds, or text (``"20ms"``).
        license: ``any``, or ``permissive``: backbones are left out unless the licence of their
            weights is known to allow any use; see :data:`automl_transfer.constraints.PERMISSIVE`.
        prefer: What decides between configurations that no test tells apart: ``accuracy``,
            ``latency``, ``size``, ``memory`` or ``training-time``.
        tolerance: Points of the metric that may be given up for that.
        epochs: Epochs of a fine-tuning trial; as many as the budget allows when None.
        sampler: Proposes hyper-parameters: ``tpe``, ``gp``, ``random``, or a plugin's.
        pruner: Stops fine-tunes early: ``rungs``, ``hyperband``, ``median``, ``none``, or a
            plugin's.
        ranker: Orders backbones before training: ``ridge``, ``logme``, ``knn``, or a plugin's.
        compile: Fine-tune through ``torch.compile``.
        offline: Never touches the network.
        cache_size: Bytes, or text (``"20G"``), that the caches of all studies may take together;
            0 keeps nothing. 20 GB, or a tenth of the free disk if that is less, when None.
        hold_out: Whether a test part is drawn where none is given: ``yes``, ``no``, or ``auto``,
            from 500 samples on. Without one the answer is scored by cross-validation.
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
        seconds = DEFAULT_SECONDS
    request = SearchRequest(
        data=str(Path(data).absolute()),
        study=study,
        studies=str(studies),
        storage=storage or os.environ.get(STORAGE_VARIABLE),
        budget_seconds=seconds,
        trials=trials,
        seed=seed,
        device=device,
        devices=parse_devices(devices) if isinstance(devices, str) else tuple(devices),
        workers=workers,
        metric=metric,
        backbones=tuple(backbones),
        heads=tuple(heads),
        strategies=tuple(strategies),
        exclude=tuple(exclude),
        portfolio=portfolio,
        max_params=max_params,
        max_latency=parse_latency(max_latency) if isinstance(max_latency, str) else max_latency,
        license=license,
        prefer=prefer,
        tolerance=tolerance,
        epochs=epochs,
        sampler=sampler,
        pruner=pruner,
        ranker=ranker,
        compile=compile,
        offline=offline,
        hold_out=hold_out,
        cache_size=parse_size(cache_size) if isinstance(cache_size, str) else cache_size,
        options=options or DataOptions(),
    )
    registry = load_registry(extra=plugins)
    for event in run_search(request, registry):
        if on_event is not None:
            on_event(event)
    return Study(Path(studies) / request.name, request.storage)
