"""Frozen features that any number of processes compute, each of some samples.

What comes of it is in the cache of the search, where the extraction that follows finds it:
whatever goes wrong here is computed there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, LocalWeights
from automl_transfer.contracts import Progress as Told
from automl_transfer.errors import StudyError
from automl_transfer.events import Event, Progress
from automl_transfer.jobs import Job, Jobs
from automl_transfer.jsonable import to_json
from automl_transfer.stages.context import Bench, Context
from automl_transfer.stages.following import followed, usual_hang

if TYPE_CHECKING:
    from automl_transfer.training.array_group import ArrayGroup

WHAT = "features"
LEAST = 256
"""Samples that are worth dividing."""
CHUNK = (32, 512)
"""Samples of a job, the fewest and the most."""
_EACH = 4
"""Jobs for each process, so that a slow one does not keep the others waiting."""
_POLL_SECONDS = 0.2


def divide(
    context: Context,
    jobs: Jobs,
    owner: str,
    home: Path,
    lanes: int,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    positions: NDArray[np.int64],
    limit: float,
    revision: str,
    at_work_on: Callable[[Job], AbstractContextManager[None]],
) -> Iterator[Event]:
    """Computes features that are not there yet, together with others.

    Args:
        context: Of the search.
        jobs: Of its study.
        owner: Name of this process.
        home: Directory that all see.
        lanes: Processes that will take part.
        card: Of the backbone.
        weights: Its weights.
        backbone: As it was built here, with what is read of its stages.
        positions: Samples, ascending, shape (n,).
        limit: Seconds of the study's clock at which to stop.
        revision: Of the state of the search that workers need.
        at_work_on: Shows signs of life for a job.
    """
    from automl_transfer.stages.frozen_features import feature_key
    from automl_transfer.training.features import extract
    from automl_transfer.training.stage_outputs import what_is_read

    encoder, read = context.encoder(card), what_is_read(backbone)
    key = feature_key(context, card, weights, encoder, read)
    group = context.cache.group(key.digest)
    samples = context.dataset.samples
    ids = [samples[int(place)].id for place in positions]
    missing = set(group.missing(ids))
    todo = positions[[id in missing for id in ids]]
    if len(todo) < LEAST:
        return
    size = int(np.clip(len(todo) / (_EACH * lanes), *CHUNK))
    parts = {
        f"{WHAT}/{key.digest[:16]}/{start:08d}": todo[start : start + size]
        for start in range(0, len(todo), size)
    }
    for place, (name, part) in enumerate(parts.items()):
        payload = {
            "what": WHAT,
            "revision": revision,
            "backbone": card.id,
            "weights": weights.sha256 if weights else None,
            "read": to_json(read),
            "key": key.digest,
            "positions": part.tolist(),
            "file": _file_of(name),
        }
        jobs.post(name, payload, place)
    waiting, done = dict(parts), len(positions) - len(todo)
    stop: Callable[[], bool] = lambda: context.watch.elapsed >= limit  # noqa: E731

    def own(part: NDArray[np.int64], before: int) -> Callable[[Told], object]:
        return lambda told: extract(
            backbone=backbone,
            rows=context.rows(encoder),
            positions=part,
            cache=context.cache,
            key=key,
            device=context.device,
            progress=lambda done, _: told(before + done, len(positions)),
            should_stop=stop,
        )

    try:
        while waiting and not stop():
            job = jobs.claim(owner)
            if job is not None and job.key in waiting:
                part = waiting.pop(job.key)
                with at_work_on(job):
                    yield from followed(card.id, own(part, done), usual_hang())
                jobs.withdraw([job.key])
                done += len(part)
            elif job is not None:
                jobs.withdraw([job.key])  # of an earlier turn
            else:
                time.sleep(_POLL_SECONDS)
            for one in jobs.standings(waiting):
                if one.state in ("done", "failed"):
                    part = waiting.pop(one.key)
                    jobs.withdraw([one.key])
                    if one.state == "done" and one.result.get("rows") == len(part):
                        ids = [samples[int(place)].id for place in part]
                        _take_in(group, ids, home / _file_of(one.key))
                    done += len(part)
            yield Progress(what=card.id, done=done, total=len(positions))
    finally:
        with contextlib.suppress(StudyError):  # the next session takes them back
            jobs.withdraw(parts)


def _file_of(key: str) -> str:
    """Name of the file with the features of a job."""
    return f"{key.replace('/', '-')}.npy"


def _take_in(group: ArrayGroup, ids: list[str], file: Path) -> None:
    with contextlib.suppress(OSError, ValueError, EOFError):
        if group.missing(ids):  # else it came through the cache, which is the same one
            rows = np.load(file, allow_pickle=False).astype(np.float32)
            if rows.ndim == 2 and len(rows) == len(ids) and np.isfinite(rows).all():
                group.write(ids, rows)
        file.unlink()


def compute(
    bench: Bench,
    payload: dict[str, Any],
    home: Path,
    stop: Callable[[], bool],
    on_batch: Callable[[int, int], None],
) -> dict[str, Any]:
    """Computes the features of a job, in another process than that of the search.

    Args:
        bench: With the data.
        payload: Of the job.
        home: Directory that all see.
        stop: Whether the time is over.
        on_batch: Called with how many are done, and how many there are.

    Raises:
        StudyError: Here they would be others: of other weights, or another kind of device.
    """
    from automl_transfer.stages.frozen_features import feature_key
    from automl_transfer.training.features import extract
    from automl_transfer.training.stage_outputs import StageOutputs, reading

    registry, request = bench.registry, bench.request
    card = registry.resolved(payload["backbone"]).card
    weights = None
    if payload["weights"] is not None:
        weights = registry.find_weights(card.weights, offline=request.offline)
    encoder = bench.encoder(card)
    read = StageOutputs.stored(payload.get("read"))
    key = feature_key(bench, card, weights, encoder, read)
    if key.digest != payload["key"]:
        raise StudyError(
            f"The features of {card.id!r} would be others here than where the search runs: "
            "weights, a version, or the kind of device differ."
        )
    backbone = registry.load(card)(card=card, weights=weights, seed=request.seed)
    matrix, _ = extract(
        backbone=reading(backbone, read),
        rows=bench.rows(encoder),
        positions=np.array(payload["positions"], dtype=np.int64),
        cache=bench.cache,
        key=key,
        device=bench.device,
        progress=on_batch,
        should_stop=stop,
    )
    home.mkdir(parents=True, exist_ok=True)
    np.save(home / Path(payload["file"]).name, matrix, allow_pickle=False)
    return {"rows": len(matrix)}
