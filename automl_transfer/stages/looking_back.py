"""After a search: what its pages will show, kept beside the answer and never at its cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import is_view
from automl_transfer.contracts import ShowsSamples
from automl_transfer.dataset import Part
from automl_transfer.events import Event, Note
from automl_transfer.importance import importances
from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import Recommendation
from automl_transfer.stages.context import Context

MOST_STILLS, FIRST_STILLS = 600, 24
"""Views of samples that are kept at the end, and at the beginning."""
FIRST_SECONDS, LEAST_SECONDS, STILLS_SHARE = 0.3, 1.0, 0.01
"""Seconds for views: at the beginning, and at the end, there or a share of those spent."""
MOST_POINTS = 2000
"""Samples on the map."""
_COMPARED = 5
"""Trials of which it is looked for where they disagree: readers compare the first ones."""
_PARTS: tuple[Part, ...] = ("test", "val", "train")
"""Whose samples take turns within a class."""


def first_views(context: Context) -> None:
    """Keeps a few views of samples, so that a page has some while the search runs."""
    if context.files.known_stills():
        return  # an earlier session kept more
    try:
        _keep_stills(context, _in_turn(context), FIRST_STILLS, FIRST_SECONDS)
    except Exception:
        return  # at the end it is tried again, and said if it fails


def look_back(context: Context, answer: Recommendation) -> Iterator[Event]:
    """Keeps what the winner said, what mattered, a map, and views of samples; whatever fails is
    said, and left out."""
    steps: list[tuple[str, Callable[[], None]]] = [
        ("What the winner predicted", lambda: _keep_predicted(context)),
        ("What mattered", lambda: _keep_importances(context)),
        ("The map of the samples", lambda: _keep_map(context, answer)),
        ("Views of samples", lambda: _keep_views(context, answer)),
    ]
    for what, keep in steps:
        try:
            keep()
        except Exception as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            yield Note(text=f"{what} could not be kept for the dashboard ({cause}).")


def _keep_predicted(context: Context) -> None:
    if context.predicted is not None:
        context.files.write_held_out(*context.predicted)


def _keep_importances(context: Context) -> None:
    stages = {row.stage: None for row in context.outcomes}
    found = {
        stage: importances(
            [row for row in context.outcomes if row.stage == stage], context.request.seed
        )
        for stage in stages
    }
    context.store.put("importances", to_json(found))


def _keep_map(context: Context, answer: Recommendation) -> None:
    """Principal components of the features that the winner's backbone has before any training."""
    from sklearn.decomposition import PCA

    candidate = context.candidates.get(answer.winner.configuration.backbone)
    if candidate is None or len(candidate.positions) < 3 or candidate.width < 2:
        return
    generator = np.random.default_rng([context.request.seed, 53])
    positions = candidate.positions
    if len(positions) > MOST_POINTS:
        positions = np.sort(generator.choice(positions, MOST_POINTS, replace=False))
    features = np.asarray(candidate.features_at(positions), dtype=np.float32)
    features = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = float(features.std())
    if scale == 0:
        return  # of samples that look all the same there is no map
    # One scale for all, so that networks of other units fill the plane alike; a scale for each
    # feature would make as much of those that hardly vary.
    features = features / scale
    components = PCA(n_components=2, svd_solver="randomized", random_state=context.request.seed)
    points = components.fit_transform(features).astype(np.float32)
    context.files.write_map(positions, points)
    context.store.put(
        "map",
        {
            "backbone": candidate.card.id,
            "method": "principal components",
            "explained": [float(share) for share in components.explained_variance_ratio_],
            "samples": len(positions),
        },
    )


def _keep_views(context: Context, answer: Recommendation) -> None:
    seconds = max(LEAST_SECONDS, STILLS_SHARE * context.watch.elapsed)
    order = [
        *_wrong(context, answer),
        *_suspected(context),
        *_disputed(context, answer),
        *_in_turn(context),
    ]
    _keep_stills(context, dict.fromkeys(order), MOST_STILLS, seconds)


def _keep_stills(context: Context, wanted: Iterable[int], most: int, seconds: float) -> None:
    """Keeps views in the order that is wanted, until there are enough or the time is over."""
    modality = context.modality
    if not isinstance(modality, ShowsSamples):
        return
    end = time.monotonic() + seconds
    found: dict[int, tuple[str, bytes]] = {}
    for position in wanted:
        if len(found) >= most or time.monotonic() > end:
            break
        try:
            media, content = modality.thumbnail(context.dataset, position)
        except Exception:
            continue  # a plugin's code, and files that may be gone
        if is_view(media, content):
            found[position] = media, content
    if found:
        context.files.write_stills(found)


def _wrong(context: Context, answer: Recommendation) -> list[int]:
    """Samples that the winner gets wrong, what it is surest of first."""
    stored = context.predicted or context.files.read_held_out()
    if stored is None or context.task.target.kind != "single-label":
        return _places(context, [row.source for row in answer.test.misses])
    positions, probabilities = stored
    labels = context.dataset.targets[positions]
    sure = np.where(probabilities.argmax(axis=1) == labels, -1.0, probabilities.max(axis=1))
    order = np.argsort(-sure, kind="stable")
    return [int(positions[at]) for at in order if sure[at] >= 0]


def _disputed(context: Context, answer: Recommendation) -> list[int]:
    """Samples of the validation part on which the first trials of the ranking disagree."""
    val = context.splits.val
    said = [
        found.argmax(axis=1)
        for row in answer.ranking[:_COMPARED]
        for found in [context.predictions(row.number)]
        if found is not None and found.ndim == 2
    ]
    if len(said) < 2 or context.task.target.kind != "single-label":
        return []
    votes = np.stack(said)
    return [int(at) for at in val[(votes != votes[0]).any(axis=0)]]


def _suspected(context: Context) -> list[int]:
    return _places(context, [str(row["source"]) for row in context.files.read_wrong_labels()])


def _places(context: Context, sources: list[str]) -> list[int]:
    wanted = set(sources)
    by_source = {
        sample.source: place
        for place, sample in enumerate(context.dataset.samples)
        if sample.source in wanted
    }
    return [by_source[source] for source in sources if source in by_source]


def _in_turn(context: Context) -> list[int]:
    """All samples: one of each class before any has a second one, and within a class one of each
    part. Of other kinds the strata stand for the classes."""
    total = len(context.dataset.samples)
    generator = np.random.default_rng([context.request.seed, 59])
    order: NDArray[np.int64] = generator.permutation(total)
    part = np.full(total, len(_PARTS))
    for place, name in enumerate(_PARTS):
        part[context.splits.of(name)] = place
    labels = context.dataset.labels
    order = order[_by_rank(labels[order] * (len(_PARTS) + 1) + part[order], part[order])]
    found: list[int] = order[_by_rank(labels[order], labels[order])].tolist()
    return found


def _by_rank(groups: NDArray[np.int64], ties: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order in which all first ones of the groups come first, then all second ones.

    Args:
        groups: Shape (n,).
        ties: What decides among those of the same rank, shape (n,).
    """
    sorted_ = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[sorted_], prepend=groups.min(initial=0) - 1))
    sizes = np.diff(np.append(starts, len(groups)))
    rank = np.empty(len(groups), dtype=np.int64)
    rank[sorted_] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return np.lexsort((ties, rank))
