"""What crosses a boundary, computed once for each sample and view, and kept.

A training view is drawn anew in every epoch, but where there are few of them (plain, mirrored)
each can be computed once. Kept rows lie on disk, in a cache that may vanish at any moment, and in
memory, or on the device, where they fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Batch, FiniteViews
from automl_transfer.jsonable import digest
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.array_group import ArrayGroup
from automl_transfer.training.boundary import Boundary
from automl_transfer.training.device import autocast, to_device
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.rows import RowStore

CPU_BLOCK = 16
DEVICE_BLOCK = 64
READ_ROWS = 256
WRITE_BYTES = 16 << 20
"""Computed rows between two writes: what a kill can lose."""
DEVICE_SHARE = 0.4
"""Of the device's memory that kept rows may fill."""
SHARE = 0.7
"""Of the cache: activations are large, and leave room for what is small and dear."""


class Memory:
    """Kept tensors of the process, the least recently used ones first to go."""

    def __init__(self, limit_bytes: int) -> None:
        """Keeps ``limit_bytes`` on the host, and a share of each device."""
        self.limit = limit_bytes
        self._kept: OrderedDict[str, tuple[torch.Tensor, ...]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of all that is kept."""
        return sum(map(_bytes, self._kept.values()))

    def find(self, name: str) -> tuple[torch.Tensor, ...] | None:
        """What is kept under a name."""
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def keep(self, name: str, tensors: tuple[torch.Tensor, ...]) -> None:
        """Keeps tensors, and lets others beside them go that no longer fit."""
        self._kept[name] = tensors
        device = tensors[0].device
        limit = self.limit
        if device.type == "cuda":
            limit = int(DEVICE_SHARE * torch.cuda.get_device_properties(device).total_memory)
        beside = [name for name, kept in self._kept.items() if kept[0].device == device]
        used = sum(_bytes(self._kept[name]) for name in beside)
        for oldest in beside[:-1]:
            if used <= limit:
                break
            used -= _bytes(self._kept.pop(oldest))


class TooLargeError(Exception):
    """A value does not fit into float16."""


class NoRoomError(Exception):
    """Neither memory nor the cache has room for all of them."""


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How a value lies on disk: channels last where the network has it so."""

    shape: tuple[int, ...]
    channels_last: bool

    def stored(self, value: torch.Tensor) -> torch.Tensor:
        return value.permute(0, 2, 3, 1) if self.channels_last else value

    def loaded(self, stored: torch.Tensor) -> torch.Tensor:
        return stored.permute(0, 3, 1, 2) if self.channels_last else stored


class Activations:
    """Those of some samples: by local index 0 to n-1, and view."""

    def __init__(
        self,
        *,
        cache: ArrayCache | None,
        memory: Memory,
        key: FeatureKey,
        dtype: str,
        boundary: Boundary,
        rows: RowStore,
        positions: NDArray[np.int64],
        views: int,
        device: torch.device,
    ) -> None:
        """Finds out what there would be to keep; :meth:`fill` keeps it."""
        self._memory = memory
        self._boundary = boundary
        self._rows = rows
        self._views = views
        self._device = device
        self._dtype: torch.dtype = getattr(torch, dtype)
        # Files of equal content have one id, and one row.
        ids = [rows.samples[int(place)].id for place in positions]
        self._ids = list(dict.fromkeys(ids))
        self._where = {id: place for place, id in enumerate(self._ids)}
        self._index = torch.tensor([self._where[id] for id in ids], dtype=torch.int64)
        self._position = dict(zip(ids, (int(place) for place in positions), strict=True))
        self._forms = tuple(
            _Form(shape=(*shape[1:], shape[0]) if last else shape, channels_last=last)
            for shape, last in zip(boundary.shapes, boundary.channels_last, strict=True)
        )
        keys = [
            [
                replace(
                    key,
                    boundary=f"{boundary.key}/{place}/{form.shape}",
                    # The key's own says how it was computed, this how it is kept.
                    dtype=f"{key.dtype}/{dtype}",
                    view=str(view),
                ).digest
                for place, form in enumerate(self._forms)
            ]
            for view in range(views)
        ]
        self._groups = (
            None
            if cache is None
            else [[cache.group(name, SHARE) for name in names] for names in keys]
        )
        self._name = digest([keys, self._ids, str(device)], 32)
        self._held: tuple[torch.Tensor, ...] | None = None
        self._noted: list[tuple[list[str], list[torch.Tensor]]] = []

    @property
    def bytes(self) -> int:
        """Of all samples and views."""
        width = self._boundary.numbers * torch.empty(0, dtype=self._dtype).element_size()
        return width * len(self._ids) * self._views

    @property
    def held(self) -> bool:
        """Whether all of them are where the network is: reading is then no work."""
        return self._held is not None and self._held[0].device.type == self._device.type

    def fill(self, check: Callable[[], None]) -> None:
        """Computes what is missing, block by block, and takes it into memory if it fits.

        Blocks are those of the list of what is missing, so that a fill that was broken off goes
        on with the same ones: the last bits of a value depend on the block it was computed in.

        Raises:
            NoRoomError: They can be kept nowhere: to compute them would be work for nothing.
        """
        self._held = self._memory.find(self._name)
        if self._held is not None:
            return
        place, room = self._room()
        held = self._empty(place) if room else None
        for view in range(self._views):
            groups = None if self._groups is None else self._groups[view]
            missing = self._ids if groups is None else _missing(groups, self._ids)
            self._compute_and_keep(missing, view, groups, held, check)
            if held is not None and groups is not None:
                absent = set(missing)
                self._load([id for id in self._ids if id not in absent], view, groups, held, check)
        if held is not None:
            self._held = held
            self._memory.keep(self._name, held)

    def keep_plain(self, ids: Sequence[str], values: Sequence[torch.Tensor]) -> None:
        """Keeps the plain view of samples that somebody else has computed; on disk only.

        Values that do not fit into the form in which they are kept are left out.
        """
        if self._groups is None:
            return
        stored = self._as_kept(values)
        if self._dtype == torch.float16 and any(value.isinf().any() for value in stored):
            return
        self._noted.append((list(ids), [value.cpu() for value in stored]))
        if sum(_bytes(block) for _, block in self._noted) >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what :meth:`keep_plain` was given."""
        noted, self._noted = self._noted, []
        if not noted or self._groups is None:
            return
        ids = [id for block, _ in noted for id in block]
        for place, group in enumerate(self._groups[0]):
            group.write(ids, np.concatenate([values[place].numpy() for _, values in noted]))

    def _as_kept(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [
            form.stored(value).to(self._dtype).contiguous()
            for form, value in zip(self._forms, values, strict=True)
        ]

    def gather(self, chosen: NDArray[np.int64], views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Values of shape (len(chosen), ...), on the device where they are held there.

        Args:
            chosen: Local indices.
            views: View of each, shape (len(chosen),).

        Raises:
            KeyError: One is no longer on disk; :meth:`compute` has it.
        """
        index = self._index[torch.from_numpy(chosen)]
        if self._held is not None:
            flat = _to(index + views * len(self._ids), self._held[0].device)
            stored = [self._selected(tensor, flat) for tensor in self._held]
        else:
            stored = self._read(index, views)
        return tuple(form.loaded(value) for form, value in zip(self._forms, stored, strict=True))

    def compute(self, chosen: NDArray[np.int64], views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same, computed anew. Moves the network: not for a second thread."""
        index = self._index[torch.from_numpy(chosen)]
        found = [self._blank(len(index), form) for form in self._forms]
        for view in range(self._views):
            places = (views == view).nonzero().flatten()
            if len(places):
                ids = [self._ids[int(place)] for place in index[places]]
                for target, value in zip(found, self._forward(ids, view), strict=True):
                    target[places] = value.cpu()
        return tuple(form.loaded(value) for form, value in zip(self._forms, found, strict=True))

    def _room(self) -> tuple[torch.device, bool]:
        """Where the rows can be held, and whether they can."""
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            if self.bytes <= DEVICE_SHARE * free:
                return self._device, True
        return torch.device("cpu"), self.bytes <= self._memory.limit

    def _empty(self, place: torch.device) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.empty(
                (self._views * len(self._ids), *form.shape),
                dtype=self._dtype,
                device=place,
                pin_memory=place.type == "cpu" and self._device.type == "cuda",
            )
            for form in self._forms
        )

    def _blank(self, count: int, form: _Form) -> torch.Tensor:
        return torch.empty(
            (count, *form.shape),
            dtype=self._dtype,
            pin_memory=self._device.type == "cuda",
        )

    def _take(
        self,
        held: tuple[torch.Tensor, ...],
        view: int,
        ids: Sequence[str],
        values: Sequence[torch.Tensor],
    ) -> None:
        start = view * len(self._ids)
        places = torch.tensor([start + self._where[id] for id in ids], device=held[0].device)
        for target, value in zip(held, values, strict=True):
            target.index_copy_(0, places, value.to(target.device))

    def _compute_and_keep(
        self,
        missing: Sequence[str],
        view: int,
        groups: Sequence[ArrayGroup] | None,
        held: tuple[torch.Tensor, ...] | None,
        check: Callable[[], None],
    ) -> None:
        pending: list[tuple[list[str], list[torch.Tensor]]] = []

        def flush() -> None:
            if groups is None or not pending:
                return
            ids = [id for block, _ in pending for id in block]
            blocks = [values for _, values in pending]
            pending.clear()
            for place, group in enumerate(groups):
                rows = np.concatenate([values[place].cpu().numpy() for values in blocks])
                if not group.write(ids, rows) and held is None:
                    raise NoRoomError

        try:
            for ids, values in self._computed(missing, view, check):
                if held is not None:
                    self._take(held, view, ids, values)
                if groups is not None:
                    pending.append((ids, values))
                if sum(_bytes(values) for _, values in pending) >= WRITE_BYTES:
                    flush()
        finally:
            flush()

    def _load(
        self,
        ids: Sequence[str],
        view: int,
        groups: Sequence[ArrayGroup],
        held: tuple[torch.Tensor, ...],
        check: Callable[[], None],
    ) -> None:
        for start in range(0, len(ids), READ_ROWS):
            block = ids[start : start + READ_ROWS]
            try:
                values = [torch.from_numpy(group.read(block)) for group in groups]
            except KeyError:  # deleted meanwhile
                self._compute_and_keep(block, view, groups, held, check)
            else:
                self._take(held, view, block, values)

    def _selected(self, tensor: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """A copy of rows; whatever the network does to it does not reach what is kept."""
        if self._device.type == "cuda" and tensor.device.type == "cpu":
            shape = (len(places), *tensor.shape[1:])
            target = torch.empty(shape, dtype=tensor.dtype, pin_memory=True)
            return torch.index_select(tensor, 0, places, out=target)
        return tensor.index_select(0, places)

    def _read(self, index: torch.Tensor, views: torch.Tensor) -> list[torch.Tensor]:
        assert self._groups is not None
        found = [self._blank(len(index), form) for form in self._forms]
        for view, groups in enumerate(self._groups):
            places = (views == view).nonzero().flatten()
            if len(places):
                ids = [self._ids[int(place)] for place in index[places]]
                for target, group in zip(found, groups, strict=True):
                    target[places] = torch.from_numpy(group.read(ids))
        return found

    def _computed(
        self, ids: Sequence[str], view: int, check: Callable[[], None]
    ) -> Iterator[tuple[list[str], list[torch.Tensor]]]:
        size = CPU_BLOCK if self._device.type == "cpu" else DEVICE_BLOCK
        for start in range(0, len(ids), size):
            block = list(ids[start : start + size])
            yield block, self._forward(block, view)
            check()

    def _forward(self, ids: Sequence[str], view: int) -> list[torch.Tensor]:
        chosen = self._rows.rows([self._position[id] for id in ids])
        batch = to_device(self._encoded(chosen, view), self._device)
        with autocast(self._device):
            values = self._boundary.before(batch)
        found = self._as_kept(values)
        if self._dtype == torch.float16 and any(value.isinf().any() for value in found):
            raise TooLargeError
        return found

    def _encoded(self, chosen: Sequence[NDArray[Any]], view: int) -> Batch:
        encoder = self._rows.encoder
        if view == 0:
            return encoder.batch(chosen)
        assert isinstance(encoder, FiniteViews)  # who else has more views than one
        return encoder.view(chosen, view)


def _to(index: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return index.pin_memory().to(device, non_blocking=True)
    return index.to(device)


def _missing(groups: Sequence[ArrayGroup], ids: Sequence[str]) -> list[str]:
    absent = {id for group in groups for id in group.missing(ids)}
    return [id for id in ids if id in absent]


def _bytes(tensors: Sequence[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
