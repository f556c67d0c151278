"""Checks of a modality: its own sample data, opened, prepared and made into batches."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.cards import ModalityCard
from automl_transfer.contracts import (
    Batch,
    Encoder,
    FiniteViews,
    Modality,
    OpensPrepared,
    ShowsSamples,
)
from automl_transfer.dataset import DataOptions, Dataset
from automl_transfer.jsonable import canonical
from automl_transfer.space import Scalar, Space
from automl_transfer.testing.kit.cards import points
from automl_transfer.testing.kit.checking import Subject, check, require
from automl_transfer.testing.kit.inputs import CLASSES, data_for, input_of

RECOGNISED = 0.5
"""Least score with which data are somebody's."""
LARGEST_VIEW = 64 * 1024
"""Bytes of a still view: a report has many."""
GARBAGE = b"\x00this is nothing that anybody reads\xff" * 8


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """The sample data of a modality, as it reads them."""

    path: Path
    modality: Modality
    dataset: Dataset

    @property
    def files(self) -> list[Path]:
        """Where the samples are; empty if they are no files."""
        found = [Path(self.dataset.root) / sample.source for sample in self.dataset.samples]
        return found if all(file.is_file() for file in found) else []


@check("shape", "modality")
def its_data_are_recognised(subject: Subject) -> None:
    """Data of its kind are recognised by their names."""
    opened = _opened(subject)
    found = opened.modality.recognise(opened.path, DataOptions())
    require(
        RECOGNISED <= found.score <= 1.0,
        f"{subject.card.id!r} must recognise its own data with a score of {RECOGNISED} to 1, but "
        f"gave {found.score:.4g} ({found.reason}): without it --modality must be given each time.",
    )


@check("shape", "modality")
def what_is_foreign_is_left_to_others(subject: Subject) -> None:
    """Data of another kind get a low score, not an error."""
    modality = _modality(subject)
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        root = Path(place)
        for label in ("one", "two"):
            (root / label).mkdir()
            (root / label / "item.foreign").write_bytes(GARBAGE)
        for path in (root, root / "one" / "item.foreign"):
            found = modality.recognise(path, DataOptions())
            require(
                0 <= found.score < RECOGNISED and bool(found.reason),
                f"{subject.card.id!r} must leave files that it does not read to others, with a "
                f"score below {RECOGNISED} and what it looked for, but gave {found.score:.4g} "
                f"({found.reason!r}) for files named '*.foreign'.",
            )


@check("shape", "modality")
def opening_gives_labelled_samples(subject: Subject) -> None:
    """Opened data have this modality's name, and samples with labels and ids."""
    dataset = _opened(subject).dataset
    require(
        dataset.modality == subject.card.id,
        f"Dataset.modality must be {subject.card.id!r}, but is {dataset.modality!r}: by it the "
        "modality is found again.",
    )
    labels = {sample.label for sample in dataset.samples}
    require(
        len(dataset.classes) == CLASSES and labels == set(range(CLASSES)),
        f"{CLASSES} classes of sample data must be opened as {CLASSES} classes with samples, but "
        f"{subject.card.id!r} has the classes {dataset.classes!r} and the labels {labels!r}.",
    )
    require(
        list(dataset.classes) == sorted(dataset.classes),
        f"Classes must be sorted, but those of {subject.card.id!r} are {dataset.classes!r}.",
    )
    again = _modality(subject).open(_opened(subject).path, DataOptions())
    require(
        again == dataset,
        f"{subject.card.id!r} must open the same data the same way each time, but does not.",
    )


@check("shape", "modality")
def ids_are_of_the_content(subject: Subject) -> None:
    """Equal content has equal ids wherever it lies, and other content other ones."""
    dataset = _opened(subject).dataset
    ids = [sample.id for sample in dataset.samples]
    require(
        len(set(ids)) == len(ids),
        f"Samples of different content must have different ids, but {subject.card.id!r} gives "
        f"{len(ids)} samples {len(set(ids))} ids.",
    )
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        elsewhere = Path(place) / "elsewhere"
        elsewhere.mkdir()
        path = data_for(subject.card.id, subject.registry, elsewhere)
        other = [sample.id for sample in _modality(subject).open(path, DataOptions()).samples]
    require(
        other == ids,
        f"The same data at another place must have the same ids, but those of "
        f"{subject.card.id!r} differ: hash the content, not names or times. What is computed of a "
        "sample is kept by its id.",
    )


@check("shape", "modality")
def an_item_is_the_sample_that_it_was(subject: Subject) -> None:
    """A labelled file has the same id when it is to be predicted, in the order of the paths."""
    opened = _opened(subject)
    files = opened.files[::-1]
    if not files:
        return
    dataset, reasons = opened.modality.open_items(files)
    wanted = [sample.id for sample in opened.dataset.samples][::-1]
    require(
        [sample.id for sample in dataset.samples] == wanted
        and list(reasons) == [None] * len(files),
        f"open_items of {subject.card.id!r} must give the samples of the files in their order, "
        "with the ids that open gives them, and None for each that can be read, but does not.",
    )


@check("shape", "modality")
def what_cannot_be_opened_is_told(subject: Subject) -> None:
    """A broken or missing file is set aside with the reason; the others are there."""
    opened = _opened(subject)
    if not opened.files or opened.path.is_file():
        return
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        path = data_for(subject.card.id, subject.registry, Path(place))
        whole = opened.modality.open(path, DataOptions())
        broken = Path(whole.root) / whole.samples[0].source
        rest = {sample.id for sample in whole.samples[1:]}
        items = [broken, Path(whole.root) / whole.samples[1].source, broken.with_name("missing")]
        more = broken.with_name(f"more{broken.suffix}")
        shutil.copyfile(broken, more)  # the class keeps as many samples as it must have
        broken.write_bytes(GARBAGE)
        left = opened.modality.open(path, DataOptions())
        told = [item for item in left.quarantined if item.source == whole.samples[0].source]
        require(
            len(told) == 1 and bool(told[0].reason) and rest < {one.id for one in left.samples},
            f"A file that {subject.card.id!r} cannot read must be in Dataset.quarantined with the "
            f"reason, and the others in Dataset.samples, but quarantined is {left.quarantined!r}.",
        )
        dataset, reasons = opened.modality.open_items(items)
        require(
            [reason is None for reason in reasons] == [False, True, False]
            and all(reasons[place] for place in (0, 2))
            and [sample.id for sample in dataset.samples] == [whole.samples[1].id],
            f"open_items of {subject.card.id!r} must give a reason for a broken and for a missing "
            f"file, and the sample of the third, but gave {list(reasons)!r}.",
        )


@check("shape", "modality")
def rows_can_be_stacked(subject: Subject) -> None:
    """A sample is prepared the same way each time, and all of them to one shape and type."""
    dataset, encoder = _opened(subject).dataset, _encoder(subject)
    rows, again = _rows(encoder, dataset), _rows(encoder, dataset)
    shapes = {(row.shape, row.dtype.str) for row in rows}
    require(
        len(shapes) == 1,
        f"Prepared rows of {subject.card.id!r} must have one shape and type, since they are kept "
        f"in one array, but have {sorted(shapes)!r}.",
    )
    require(
        all(np.array_equal(one, other) for one, other in zip(rows, again, strict=True)),
        f"prepare of {subject.card.id!r} must give the same row each time, but does not: what "
        "varies belongs into batch.",
    )


@check("shape", "modality")
def preparing_ahead_is_the_same(subject: Subject) -> None:
    """Rows that are kept while the data are opened are those that ``prepare`` makes."""
    opened = _opened(subject)
    if not isinstance(opened.modality, OpensPrepared):
        return
    keep = _Kept()
    dataset = opened.modality.open_prepared(
        opened.path, DataOptions(), [input_of(subject.card.id, subject.registry)], keep
    )
    encoder = _encoder(subject)
    require(
        dataset == opened.dataset,
        f"open_prepared of {subject.card.id!r} must return what open does, but does not.",
    )
    wrong = [
        sample.source
        for sample in dataset.samples
        if sample.id in keep.rows
        and not np.array_equal(keep.rows[sample.id], encoder.prepare(sample))
    ]
    require(
        not wrong and bool(keep.rows),
        f"open_prepared of {subject.card.id!r} must keep the rows that prepare makes, but "
        + (f"those of {', '.join(wrong[:3])} differ." if wrong else "keeps none."),
    )


@check("shape", "modality")
def the_plain_view_is_plain(subject: Subject) -> None:
    """Without a generator a batch is the same each time, and a sample's part of it its own."""
    dataset, encoder = _opened(subject).dataset, _encoder(subject)
    rows = _rows(encoder, dataset)
    whole, again = encoder.batch(rows), encoder.batch(rows)
    alone = encoder.batch(rows[:1])
    require(
        all(len(tensor) == len(rows) for tensor in _tensors(whole)),
        f"The first axis of a batch of {subject.card.id!r} must be the sample, but of {len(rows)} "
        f"samples it has the shapes {[tuple(one.shape) for one in _tensors(whole)]}.",
    )
    require(
        _equal(whole, again) and _equal(alone, whole, first=1),
        f"The plain view of {subject.card.id!r} must be the same each time, whatever else is in "
        "the batch, but is not.",
    )


@check("shape", "modality")
def a_generator_decides_the_training_view(subject: Subject) -> None:
    """The training view follows the generator that it is given, and moves no other."""
    dataset = _opened(subject).dataset
    for params in _spaces(subject):
        encoder = _encoder(subject, params)
        rows = _rows(encoder, dataset)
        before = torch.random.get_rng_state()
        one, same = (
            encoder.batch(rows, torch.Generator().manual_seed(subject.seed)) for _ in range(2)
        )
        require(
            _equal(one, same) and torch.equal(before, torch.random.get_rng_state()),
            f"The training view of {subject.card.id!r} with {dict(params)!r} must be the same for "
            "the same generator, and draw from it alone, but does not.",
        )


@check("shape", "modality")
def views_are_those_of_the_batch(subject: Subject) -> None:
    """Where there are a few views, the training batch is one of them for each sample."""
    dataset = _opened(subject).dataset
    for params in _spaces(subject):
        encoder = _encoder(subject, params)
        if not isinstance(encoder, FiniteViews) or not encoder.views:
            continue
        rows = _rows(encoder, dataset)
        batch = encoder.batch(rows, torch.Generator().manual_seed(subject.seed))
        chosen = encoder.choose(len(rows), torch.Generator().manual_seed(subject.seed)).tolist()
        views = {index: encoder.view(rows, index) for index in {0, *chosen}}
        fits = all(
            torch.equal(given[place], seen[place])
            for place, index in enumerate(chosen)
            for given, seen in zip(_tensors(batch), _tensors(views[index]), strict=True)
        )
        require(
            fits and _equal(views[0], encoder.batch(rows)),
            f"With {dict(params)!r}, batch(rows, generator) of {subject.card.id!r} must be "
            "view(rows, choose(n, generator)), and view 0 the plain one, but they differ: the "
            "features of a view are computed once and kept.",
        )


@check("shape", "modality")
def digests_tell_views_apart(subject: Subject) -> None:
    """Encoders have one digest for one plain view, and two for two."""
    dataset = _opened(subject).dataset
    modality, registry = _modality(subject), subject.registry
    inputs = {
        canonical(dict(entry.card.input)): entry.card.input
        for entry in registry.backbones.values()
        if entry.card.modality == subject.card.id
    }
    made = [modality.encoder(dataset.root, one, {}) for one in inputs.values()]
    again = [modality.encoder(f"{dataset.root}x", one, {}) for one in inputs.values()]
    require(
        [one.digest for one in made] == [one.digest for one in again],
        f"Encoder.digest of {subject.card.id!r} must say how samples are encoded, and not where "
        "they lie, but differs between two roots: what is kept of them would be lost.",
    )
    seen = [encoder.batch(_rows(encoder, dataset)) for encoder in made]
    for one, other in combinations(range(len(made)), 2):
        require(
            made[one].digest != made[other].digest or _equal(seen[one], seen[other]),
            f"Encoders of {subject.card.id!r} that give different batches must have different "
            f"digests, but {list(inputs)[one]} and {list(inputs)[other]} have the same: features "
            "of the one would be taken for those of the other.",
        )


@check("shape", "modality")
def raw_features_are_one_vector_a_sample(subject: Subject) -> None:
    """Raw features are finite float32 numbers of the shape (n, d), those of the positions."""
    opened = _opened(subject)
    count = len(opened.dataset.samples)
    whole = opened.modality.raw_features(opened.dataset, np.arange(count))
    require(
        isinstance(whole, np.ndarray)
        and whole.ndim == 2
        and len(whole) == count
        and whole.dtype == np.float32
        and bool(np.isfinite(whole).all()),
        f"raw_features of {count} samples of {subject.card.id!r} must be finite float32 numbers "
        f"of the shape ({count}, d), but are {getattr(whole, 'dtype', type(whole).__name__)} of "
        f"the shape {getattr(whole, 'shape', ())}.",
    )
    some = np.array([count - 1, 0])
    require(
        np.array_equal(opened.modality.raw_features(opened.dataset, some), whole[some]),
        f"raw_features of {subject.card.id!r} must be those of the positions that are asked for, "
        "in their order, but are not.",
    )


@check("shape", "modality")
def a_still_view_is_small(subject: Subject) -> None:
    """What a report shows of a sample is a small picture of a type that browsers know."""
    opened = _opened(subject)
    if not isinstance(opened.modality, ShowsSamples):
        return
    media, content = opened.modality.thumbnail(opened.dataset, 0)
    require(
        media.startswith("image/") and 0 < len(content) <= LARGEST_VIEW,
        f"thumbnail of {subject.card.id!r} must give an image of at most {LARGEST_VIEW:,} bytes, "
        f"but gave {media!r} of {len(content):,}.",
    )


@check("train", "modality")
def a_search_finds_an_answer(subject: Subject) -> None:
    """A search over its sample data, with a backbone of its own, ends with a trained model."""
    from automl_transfer.events import Recommended
    from automl_transfer.request import SearchRequest
    from automl_transfer.searching import run_search

    names = sorted(
        entry.card.id
        for entry in subject.registry.backbones.values()
        if entry.card.modality == subject.card.id
    )
    require(
        bool(names),
        f"To search over data of {subject.card.id!r} a backbone must be offered for them, but "
        "none is: install or write one with modality=" + repr(subject.card.id) + ".",
    )
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place, _own_cache(place):
        directory = Path(place) / "data"
        directory.mkdir()
        request = SearchRequest(
            data=str(data_for(subject.card.id, subject.registry, directory)),
            studies=str(Path(place) / "studies"),
            study="check",
            trials=1,
            epochs=1,
            seed=subject.seed,
            backbones=tuple(names[:1]),
            heads=("ridge",),
            strategies=("frozen",),
            offline=True,
            device="cpu",
        )
        events = list(run_search(request, subject.registry))
    found = [event.recommendation for event in events if isinstance(event, Recommended)]
    require(
        bool(found) and found[-1].winner is not None,
        f"A search over the sample data of {subject.card.id!r} must end with an answer, but "
        "does not.",
    )


class _Kept:
    """Rows that a modality has kept, by the id of their sample."""

    def __init__(self) -> None:
        self.rows: dict[str, NDArray[Any]] = {}

    def has(self, encoder: Encoder, id: str) -> bool:
        return id in self.rows

    def keep(self, encoder: Encoder, ids: Any, rows: NDArray[Any]) -> bool:
        self.rows.update(zip(ids, rows, strict=True))
        return True


def _modality(subject: Subject) -> Modality:
    made: Modality = subject.factory()
    return made


def _opened(subject: Subject) -> _Opened:
    """The sample data, opened once for all checks."""
    if "opened" not in subject.kept:
        place = Path(tempfile.mkdtemp(prefix="automl-transfer-"))
        weakref.finalize(subject, partial(shutil.rmtree, place, ignore_errors=True))
        path = data_for(subject.card.id, subject.registry, place)
        modality = _modality(subject)
        subject.kept["opened"] = _Opened(
            path=path, modality=modality, dataset=modality.open(path, DataOptions())
        )
    found: _Opened = subject.kept["opened"]
    return found


def _encoder(subject: Subject, params: Mapping[str, Scalar] | None = None) -> Encoder:
    input = input_of(subject.card.id, subject.registry)
    return _modality(subject).encoder(_opened(subject).dataset.root, input, params or {})


def _spaces(subject: Subject) -> list[dict[str, Scalar]]:
    card = subject.card
    assert isinstance(card, ModalityCard)
    return points(Space(card.space))


def _rows(encoder: Encoder, dataset: Dataset) -> list[NDArray[Any]]:
    return [encoder.prepare(sample) for sample in dataset.samples]


def _tensors(batch: Batch) -> list[torch.Tensor]:
    return list(batch.values()) if isinstance(batch, Mapping) else [batch]


def _equal(one: Batch, other: Batch, first: int | None = None) -> bool:
    """Whether two batches are the same, the other's first samples alone if told so."""
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return all(torch.equal(left, right[:first]) for left, right in pairs)


@contextmanager
def _own_cache(place: str) -> Iterator[None]:
    """What an earlier version of the modality has left in the user's cache is not looked at."""
    before = os.environ.get("AUTOML_TRANSFER_CACHE_DIR")
    os.environ["AUTOML_TRANSFER_CACHE_DIR"] = str(Path(place) / "cache")
    try:
        yield
    finally:
        if before is None:
            del os.environ["AUTOML_TRANSFER_CACHE_DIR"]
        else:
            os.environ["AUTOML_TRANSFER_CACHE_DIR"] = before
