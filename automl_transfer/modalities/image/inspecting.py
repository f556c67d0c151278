"""Reads every file once: its identity, whether it can be used, and its plain views."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import KeepRows, Progress
from automl_transfer.errors import CardError, DataError
from automl_transfer.layouts import Inspected
from automl_transfer.modalities.image.encoder import ImageEncoder
from automl_transfer.modalities.image.plain_view import plain_view
from automl_transfer.modalities.image.reading import (
    UnreadableError,
    content_id,
    decode,
    read_bytes,
)

_T = TypeVar("_T")
_R = TypeVar("_R")

_MOST_THREADS = 16
_AHEAD = 4
"""Results that wait to be taken, for each thread."""
BLOCK_BYTES = 1 << 23
"""Views that are kept at once."""


class Views:
    """The plain views of a data set that are wanted, and are not kept yet."""

    def __init__(self, inputs: Sequence[Mapping[str, Any]], keep: KeepRows) -> None:
        """Takes the inputs of backbone cards; those that break a rule are left to others."""
        self._keep = keep
        self.encoders: list[ImageEncoder] = []
        for input in inputs:
            try:
                encoder = ImageEncoder.make("", input, {})
            except CardError:
                continue
            if all(encoder.rows_digest != known.rows_digest for known in self.encoders):
                self.encoders.append(encoder)
        self._waiting: list[dict[str, NDArray[np.uint8]]] = [{} for _ in self.encoders]
        self._refused: set[int] = set()

    def lacking(self, id: str) -> list[int] | None:
        """Which encoders have no view of a content; None if that says nothing about it."""
        if not self.encoders:
            return None
        return [
            place for place, encoder in enumerate(self.encoders) if not self._keep.has(encoder, id)
        ]

    def wanted(self, lacking: Sequence[int]) -> list[int]:
        """Those of them for whose views there is room."""
        return [place for place in lacking if place not in self._refused]

    def add(self, id: str, views: Mapping[int, NDArray[np.uint8]]) -> None:
        """Takes views of a content, by encoder."""
        for place, view in views.items():
            self._waiting[place][id] = view
            if len(self._waiting[place]) * view.nbytes >= BLOCK_BYTES:
                self._write(place)

    def flush(self) -> None:
        """Keeps what waits for more."""
        for place in range(len(self.encoders)):
            self._write(place)

    def _write(self, place: int) -> None:
        block = self._waiting[place]
        if block and place not in self._refused:
            rows = np.stack(list(block.values()))
            if not self._keep.keep(self.encoders[place], list(block), rows):
                self._refused.add(place)
        block.clear()


@dataclass(frozen=True, kw_only=True)
class _Opened:
    found: Inspected
    views: Mapping[int, NDArray[np.uint8]]


def inspect(
    files: Sequence[Path], progress: Progress | None = None, views: Views | None = None
) -> list[Inspected]:
    """Content id, or why it cannot be used, of each file.

    A file is decoded at most once: not at all if all its views are kept, since they were made of
    the same bytes.
    """
    results: list[Inspected] = []
    # Pillow warns of odd metadata and of sizes; what matters of it comes back as a reason.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for opened in in_threads(lambda file: _inspect(file, views), files):
            if views is not None:
                views.add(opened.found.id, opened.views)
            results.append(opened.found)
            if progress is not None:
                progress(len(results), len(files))
        if views is not None:
            views.flush()
    return results


def _inspect(file: Path, views: Views | None) -> _Opened:
    try:
        content = read_bytes(file)
        id = content_id(content)
        lacking = views.lacking(id) if views is not None else None
        if views is None or lacking is None:
            decode(content)
            return _Opened(found=Inspected(id=id), views={})
        if not lacking:
            return _Opened(found=Inspected(id=id), views={})
        image = decode(content)
        made = {
            place: plain_view(image, views.encoders[place].input)
            for place in views.wanted(lacking)
        }
        return _Opened(found=Inspected(id=id), views=made)
    except DataError as error:
        kind = error.kind if isinstance(error, UnreadableError) else ""
        return _Opened(found=Inspected(id="", error=str(error), kind=kind), views={})


def in_threads(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Results in order, of which few wait at a time.

    Decoders let go of the interpreter's lock, so threads do run at once.
    """
    count = min(_MOST_THREADS, _cores())
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    waiting: deque[Future[_R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Without this an interrupt would first decode all that is left.
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
