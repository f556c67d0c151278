"""Checks of a modality: its own sample data, opened, prepared and made into batches."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest.mock import patch

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
from automl_transfer.errors import AutomlTransferError
from automl_transfer.events import Recommended
from automl_transfer.jsonable import canonical
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.space import Scalar, Space
from automl_transfer.stages.context import CACHE_VARIABLE
from automl_transfer.testing.kit.cards import points
from automl_transfer.testing.kit.checking import Subject, check, require
from automl_transfer.testing.kit.inputs import CLASSES, backbones_for, data_for, input_of
from automl_transfer.testing.kit.members import weights_here

CLOSE = 1e-5
"""Largest difference of numbers that count as equal, in units of the largest: sums in batches of
different sizes are rounded differently."""
LARGEST_VIEW = 20_000
"""Bytes of a still view: a report has many."""
SHOWN = ("image/gif", "image/jpeg", "image/png", "image/svg+xml", "image/webp")
"""Types that every browser shows."""
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
    """Data of its kind are recognised by their names, no less than by other modalities."""
    opened = _opened(subject)
    found = opened.modality.recognise(opened.path, DataOptions())
    others = {
        entry.card.id: subject.registry.load(entry.card)()
        .recognise(opened.path, DataOptions())
        .score
        for entry in subject.registry.modalities.values()
        if entry.card.id != subject.card.id
    }
    best = max(others, key=others.__getitem__, default=None)
    require(
        0 < found.score <= 1 and (best is None or found.score >= others[best]),
        f"{subject.card.id!r} must recognise its own data with a score above 0, up to 1, and "
        f"not below those of other modalities, but gave {found.score:.4g} ({found.reason})"
        + (f", and {best!r} {others[best]:.4g}" if best is not None else "")
        + ": without it --modality must be given each time.",
    )


@check("shape", "modality")
def what_is_foreign_is_left_to_others(subject: Subject) -> None:
    """Data of another kind get the score 0 and the reason, not an error."""
    modality = _modality(subject)
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        root = Path(place)
        for label in ("one", "two"):
            (root / label).mkdir()
            (root / label / "item.foreign").write_bytes(GARBAGE)
        for path in (root, root / "one" / "item.foreign"):
            found = modality.recognise(path, DataOptions())
            require(
                found.score == 0 and bool(found.reason),
                f"{subject.card.id!r} must leave files that it does not read to others, with the "
                f"score 0 and what it looked for, but gave {found.score:.4g} ({found.reason!r}) "
                "for files named '*.foreign': the highest score above 0 takes the data.",
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
    opened = _opened(subject)
    ids = {sample.source: sample.id for sample in opened.dataset.samples}
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        path = _copied(opened.path, Path(place))
        elsewhere = opened.modality.open(path, DataOptions())
        require(
            ids == {sample.source: sample.id for sample in elsewhere.samples},
            f"A copy of the data at another place must have the same ids, but those of "
            f"{subject.card.id!r} differ: hash the content, not places or times. What is computed "
            "of a sample is kept by its id.",
        )
        first, second = _different(opened)
        if first is None or second is None:
            return
        files = [Path(elsewhere.root) / source for source in (first, second)]
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, contents[::-1], strict=True):
            file.write_bytes(content)
        swapped = {one.source: one.id for one in opened.modality.open(path, DataOptions()).samples}
    require(
        ids[first] != ids[second]
        and (swapped[first], swapped[second]) == (ids[second], ids[first]),
        f"Two files of {subject.card.id!r} that change their contents must change their ids, but "
        f"{first!r} and {second!r} do not: hash the content, not names.",
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
        path = _copied(opened.path, Path(place))
        copied = opened.modality.open(path, DataOptions())
        root, (first, second) = Path(copied.root), copied.samples[:2]
        broken = root / first.source
        content = broken.read_bytes()
        # The class keeps as many samples as it must have.
        broken.with_name(f"more-{broken.name}").write_bytes(content)
        half = len(content) // 2
        for what, damage in (
            ("cut off", content[:half]),
            ("spoilt after its beginning", content[:16] + b"\xff" * (len(content) - 16)),
            ("empty", b""),
            ("garbage", GARBAGE),
        ):
            broken.write_bytes(damage)
            left = opened.modality.open(path, DataOptions())
            told = [item for item in left.quarantined if item.source == first.source]
            there = {one.source: one.id for one in left.samples}
            # Some formats can be read in part: then it is a sample, by another id.
            partly = damage not in (b"", GARBAGE) and there.get(first.source, first.id) != first.id
            require(
                (partly or (len(told) == 1 and bool(told[0].reason)))
                and {one.source for one in copied.samples[1:]} <= there.keys(),
                f"A file that is {what} must be in Dataset.quarantined of {subject.card.id!r}, "
                "with the reason, and the others in Dataset.samples, but quarantined is "
                f"{left.quarantined!r:.300}.",
            )
        items = [broken, root / second.source, broken.with_name("missing")]
        dataset, reasons = opened.modality.open_items(items)
    require(
        [reason is None for reason in reasons] == [False, True, False]
        and all(reasons[place] for place in (0, 2))
        and [sample.id for sample in dataset.samples] == [second.id],
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
        all(not one.is_floating_point() or bool(one.isfinite().all()) for one in _tensors(whole)),
        f"The plain view of {subject.card.id!r} must be of finite numbers, but is not.",
    )
    require(
        _equal(whole, again) and _equal(alone, whole, alike=_is_first_of),
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
        before = _global_state()
        one, same = (
            encoder.batch(rows, torch.Generator().manual_seed(subject.seed)) for _ in range(2)
        )
        require(
            _equal(one, same) and before == _global_state(),
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
        require(
            all(0 <= index < encoder.views for index in chosen),
            f"With {dict(params)!r}, choose of {subject.card.id!r} must give indices from 0 to "
            f"{encoder.views - 1}, but gave {chosen!r:.100}.",
        )
        views = {index: encoder.view(rows, index) for index in {0, *chosen}}
        fits = all(
            _near(given[place], seen[place])
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
    """Encoders have one digest for one plain view, and two for the views of two backbones."""
    opened, registry = _opened(subject), subject.registry
    modality, dataset = opened.modality, opened.dataset
    inputs = {
        canonical(dict(card.input)): card.input
        for card in backbones_for(subject.card.id, registry)
    }
    made: dict[str, Encoder] = {}
    for name, one in inputs.items():
        try:
            made[name] = modality.encoder(dataset.root, one, {})
        except AutomlTransferError:
            continue  # the fault of another plugin's backbone
    plain = _encoder(subject).digest
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        path = _copied(opened.path, Path(place))
        root = modality.open(path, DataOptions()).root
        moved = modality.encoder(root, input_of(subject.card.id, registry), {}).digest
    require(
        moved == plain
        and all(_encoder(subject, params).digest == plain for params in _spaces(subject)),
        f"Encoder.digest of {subject.card.id!r} must say what the plain view is, and neither "
        "where samples lie nor how the training view varies, but differs between two places or "
        "two settings: what is kept of samples would be lost.",
    )
    seen = {name: encoder.batch(_rows(encoder, dataset)) for name, encoder in made.items()}
    for left, right in combinations(made, 2):
        require(
            made[left].digest != made[right].digest or _equal(seen[left], seen[right]),
            f"Encoders of {subject.card.id!r} that give different batches must have different "
            f"digests, but {left} and {right} have the same: features of the one would be taken "
            "for those of the other.",
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
        _near(
            torch.from_numpy(opened.modality.raw_features(opened.dataset, some)),
            torch.from_numpy(whole[some]),
        ),
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
        media in SHOWN and 0 < len(content) <= LARGEST_VIEW,
        f"thumbnail of {subject.card.id!r} must give one of {', '.join(SHOWN)} of at most "
        f"{LARGEST_VIEW:,} bytes, but gave {media!r} of {len(content):,}.",
    )


@check("train", "modality")
def a_search_finds_an_answer(subject: Subject) -> None:
    """A search over its sample data, with a backbone of its own, ends with a trained model."""
    usable = [
        card.id
        for card in backbones_for(subject.card.id, subject.registry)
        if weights_here(subject.registry, card) is not None
    ]
    require(
        bool(usable),
        f"To search over data of {subject.card.id!r} a backbone for them is needed whose weights "
        f"are on this machine, but there is none: write one with modality={subject.card.id!r}, or "
        "install one.",
    )
    with (
        tempfile.TemporaryDirectory(prefix="automl-transfer-") as place,
        # What an earlier version of the modality has left in the user's cache is not looked at.
        # For the whole process: searches in other threads would have it, too.
        patch.dict(os.environ, {CACHE_VARIABLE: str(Path(place) / "cache")}),
    ):
        directory = Path(place) / "data"
        directory.mkdir()
        request = SearchRequest(
            data=str(data_for(subject.card.id, subject.registry, directory)),
            studies=str(Path(place) / "studies"),
            study="check",
            trials=1,
            epochs=1,
            seed=subject.seed,
            backbones=tuple(usable[:1]),
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


def _equal(
    one: Batch, other: Batch, alike: Callable[[torch.Tensor, torch.Tensor], bool] = torch.equal
) -> bool:
    """Whether two batches have the same parts, and these are alike: to the last bit if nothing
    else is said."""
    return _keys(one) == _keys(other) and all(
        alike(left, right) for left, right in zip(_tensors(one), _tensors(other), strict=True)
    )


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    scale = float(other.abs().max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=CLOSE * scale)


def _is_first_of(alone: torch.Tensor, whole: torch.Tensor) -> bool:
    return _near(alone, whole[:1])


def _keys(batch: Batch) -> list[str]:
    return list(batch) if isinstance(batch, Mapping) else []


def _global_state() -> tuple[bytes, str, str]:
    """Where the random generators are that the process shares."""
    numpy: Any = np.random.get_state()
    shared = repr((numpy[1].tolist(), numpy[2:]))
    return torch.random.get_rng_state().numpy().tobytes(), repr(random.getstate()), shared


def _copied(path: Path, place: Path) -> Path:
    """Copies data into a directory, and returns where they are there."""
    target = place / path.name
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return target


def _different(opened: _Opened) -> tuple[str | None, str | None]:
    """Sources of two samples of one class whose files differ; None where there are none."""
    if not opened.files:
        return None, None
    samples = opened.dataset.samples
    for one, other in combinations(zip(samples, opened.files, strict=True), 2):
        if one[0].label == other[0].label and one[1].read_bytes() != other[1].read_bytes():
            return one[0].source, other[0].source
    return None, None
