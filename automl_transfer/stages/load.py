"""Load: recognise the data, open them, split them, choose the metric."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.archives import unpacked
from automl_transfer.cards import ModalityCard
from automl_transfer.contracts import Modality, OpensPrepared, RawRows
from automl_transfer.dataset import PARTS, DataOptions, Dataset, Splits
from automl_transfer.entries import OURS, one_line
from automl_transfer.errors import (
    AutomlTransferError,
    DataError,
    PluginError,
    StudyError,
    UsageError,
    did_you_mean,
)
from automl_transfer.events import DataLoaded, Event, Note, StageStarted
from automl_transfer.jsonable import to_json
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.splits import make_splits
from automl_transfer.stages.context import Context, cache_directory
from automl_transfer.stages.data_audit import audit
from automl_transfer.stages.following import followed
from automl_transfer.stages.kept_splits import kept_splits
from automl_transfer.stages.select import heads_for, require_ranker
from automl_transfer.stages.verdicts import weight
from automl_transfer.target import Target, unit_of
from automl_transfer.task import Task, choose_metric

if TYPE_CHECKING:
    from automl_transfer.training.array_cache import ArrayCache

_log = logging.getLogger(__name__)


def recognise(request: SearchRequest, registry: Registry) -> tuple[ModalityCard, Modality]:
    """The modality that knows the data best.

    Raises:
        DataError: There are no data, or no modality recognises them.
        UsageError: ``--modality`` names none.
    """
    return recognise_data(Path(request.data), request.options, registry)


def recognise_data(
    path: Path, options: DataOptions, registry: Registry
) -> tuple[ModalityCard, Modality]:
    """As :func:`recognise`, without a request."""
    if not path.exists():
        raise DataError(
            "--data must be a directory, a manifest file or an archive, but "
            f"{str(path)!r} does not exist."
        )
    place = unpacked(path, cache_directory())
    cards = {entry.card.id: entry.card for entry in registry.modalities.values()}
    wanted = options.modality
    if wanted is not None:
        if wanted not in cards:
            raise UsageError(
                f"--modality must be one of {', '.join(cards)}, but got {wanted!r}."
                + did_you_mean(wanted, cards)
            )
        with _blamed(registry, cards[wanted]):
            return cards[wanted], registry.load(cards[wanted])()
    answers = []
    for card in cards.values():
        try:
            with _blamed(registry, card):
                modality: Modality = registry.load(card)()
                answers.append((modality.recognise(place, options), card, modality))
        except PluginError as error:
            _log.warning("%s It is passed over.", error)
    answers.sort(key=lambda answer: (-answer[0].score, answer[1].id))
    if not answers or answers[0][0].score <= 0:
        looked = "; ".join(f"{card.id}: {answer.reason}" for answer, card, _ in answers)
        if path.is_dir() and not any(path.iterdir()):
            raise DataError(f"--data must hold samples, but the directory {str(path)!r} is empty.")
        raise DataError(
            f"No installed modality recognises {str(path)!r}. {looked or 'None is installed'}."
        )
    return answers[0][1], answers[0][2]


@contextmanager
def _blamed(registry: Registry, card: ModalityCard) -> Iterator[None]:
    """What goes wrong in a modality of a plugin is told as that plugin's."""
    entry = registry.modalities[card.id]
    try:
        yield
    except AutomlTransferError:
        raise
    except (Exception, SystemExit) as error:
        if entry.distribution == OURS:
            raise
        raise PluginError(
            f"The modality {card.id!r} of {entry.provider} cannot be used: {one_line(error)}. "
            f"Upgrade or uninstall {entry.distribution}, or set "
            f"AUTOML_TRANSFER_DISABLE_PLUGINS={entry.distribution}."
        ) from error


def load(context: Context) -> Iterator[Event]:
    """Reads and splits the data, and writes the manifest; a study with trials keeps its parts."""
    request = context.request
    yield StageStarted(stage="load", detail=request.data)
    card, modality = context.recognised
    path, cache = Path(request.data), context.cache
    dataset = yield from opened(
        context.registry,
        context.recognised,
        path,
        request.options,
        cache,
        lambda: _inputs(context),
    )
    _same_data(context, dataset.fingerprint)
    clusters = yield from audit(context, modality, dataset)
    kept = kept_splits(context, dataset, clusters)
    splits = kept[0] if kept else _drawn(request, dataset, clusters)
    metric, reason = choose_metric(dataset.targets[splits.development], request.metric)
    task = Task(
        modality=card.id,
        target=_target(dataset, splits),
        metric=metric,
        metric_reason=reason,
    )
    context.heads = heads_for(dataset.kind, context.heads, request)
    require_ranker(dataset.kind, request, context.registry)
    context.set_data(card, modality, dataset, splits, task)
    if kept is None or not kept[1]:
        context.files.write_manifest(dataset, splits)
    context.files.write_quarantined(dataset)
    loaded = DataLoaded(
        modality=card.id,
        layout=dataset.layout,
        classes=dataset.classes,
        kind=dataset.kind,
        counts={part: len(splits.of(part)) for part in PARTS},
        quarantined=len(dataset.quarantined),
        metric=metric,
        metric_reason=reason,
        split_description=splits.description,
    )
    context.store.put("data", {**to_json(loaded), "fingerprint": dataset.fingerprint})
    yield loaded
    for text in dataset.notes:
        context.notes.append(text)
        yield Note(text=text)
    if dataset.quarantined:
        text = (
            f"{len(dataset.quarantined)} items cannot be read and are left out; they are listed "
            f"in {context.files.path / 'quarantined.csv'}."
        )
        context.notes.append(text)
        yield Note(text=text, level="warning")


def _target(dataset: Dataset, splits: Splits) -> Target:
    if dataset.kind != "regression":
        return Target(kind=dataset.kind, names=dataset.classes)
    mean, scale = unit_of(dataset.targets[splits.train])
    return Target(kind=dataset.kind, names=dataset.classes, mean=mean, scale=scale)


def _drawn(request: SearchRequest, dataset: Dataset, clusters: NDArray[np.int64]) -> Splits:
    return make_splits(
        dataset.samples,
        dataset.strata,
        request.seed,
        clusters=clusters,
        hold_out=request.hold_out,
        kind=dataset.kind,
    )


def opened(
    registry: Registry,
    recognised: tuple[ModalityCard, Modality],
    path: Path,
    options: DataOptions,
    cache: ArrayCache,
    inputs: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
) -> Generator[Event, None, Dataset]:
    """Opens the data; where the modality can do so, it prepares them as well.

    Args:
        registry: Of the plugins.
        recognised: The modality of the data, and its card.
        path: Where they are; the content of an archive is read from the cache directory.
        options: How they are to be read.
        cache: Keeps what is prepared: for ``inputs``, and the modality's own ``raw_input``.
        inputs: What backbones take.

    Raises:
        DataError: They cannot be used.
        PluginError: The modality is of a plugin, and failed.
    """
    from automl_transfer.training.row_keeper import RowKeeper

    card, modality = recognised
    path = unpacked(path, cache_directory())

    def work(progress: Callable[[int, int], None]) -> Dataset:
        if isinstance(modality, OpensPrepared):
            raw = [modality.raw_input] if isinstance(modality, RawRows) else []
            keeper = RowKeeper(cache)
            return modality.open_prepared(path, options, [*inputs(), *raw], keeper, progress)
        return modality.open(path, options, progress)

    with _blamed(registry, card):
        return (yield from followed("reading", work))


SHORT = 90.0
"""Seconds of a budget up to which samples are prepared for the cheapest backbone alone while they
are read: there is hardly time to look at others, and theirs are prepared if there is."""


def _inputs(context: Context) -> list[Mapping[str, Any]]:
    """What the backbones take that may come to be tried, the cheapest first."""
    most = context.request.max_params
    found = []
    cards = [card for card in context.selected if not isinstance(card, tuple)]
    for card in sorted(cards, key=lambda card: (weight(card), card.id)):
        if most is not None and card.cost is not None and card.cost.params > most:
            continue
        if context.request.offline:
            try:
                context.registry.find_weights(card.weights, offline=True)
            except AutomlTransferError:
                continue
        found.append(card.input)
        if context.watch.left <= SHORT:
            break
    return found


def _same_data(context: Context, fingerprint: str) -> None:
    before = (context.store.get("data") or {}).get("fingerprint")
    if before is not None and before != fingerprint:
        raise StudyError(
            f"Study {context.request.name!r} was made with other data (fingerprint {before}, now "
            f"{fingerprint}): files were added, removed, changed or relabelled. Its trials cannot "
            "be compared with new ones; choose another name with --study."
        )
