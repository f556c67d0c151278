"""TensorBoard: a run for the search and a run for each trial, below the study's directory."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl_transfer.space import Scalar
from automl_transfer_trackers.answer import table
from automl_transfer_trackers.libraries import library
from automl_transfer_trackers.tracker import Axis, Search
from automl_transfer_trackers.trials import Ending, Origin, Point, Trial

DIRECTORY = "AUTOML_TRANSFER_TENSORBOARD_DIR"
"""Environment variable: where the logs of all studies go, each in a directory of its own."""
SEARCH = "search"
"""The run of the search as a whole."""
_LONGEST = 120
"""Characters of a run's name, which is a file's."""


class TensorBoard:
    """Writes event files; each trial's is closed when it ends."""

    def __init__(self) -> None:
        self._writer = library("torch.utils.tensorboard", "tensorboard").SummaryWriter
        # `tensorboard.plugins.hparams.api` has the same function, but imports TensorFlow. Torch's
        # `add_hparams` declares the columns of the table with each run, and TensorBoard then shows
        # those of one run alone, though trials differ in what they have.
        self._hparams = library("tensorboard.plugins.hparams.summary_v2", "tensorboard").hparams_pb
        self._studied = ""
        self._root = Path()
        self._search: Any = None
        self._trials: dict[int, Any] = {}

    def open(self, search: Search) -> None:
        """Opens the run of the search."""
        self._studied = search.unique
        self._root = place_of(search)
        self._search = self._writer(str(self._root / SEARCH))

    def facts(self, facts: Mapping[str, Scalar], at: int) -> None:
        """A table."""
        self._search.add_text("facts", table(facts, "fact"), at)

    def values(self, values: Mapping[str, float], axis: Axis, at: int) -> None:
        """Scalars of the search."""
        for name, value in values.items():
            self._search.add_scalar(name, value, at)

    def text(self, name: str, text: str, at: int) -> None:
        """Text of the search."""
        self._search.add_text(name, text, at)

    def trial_started(self, trial: Trial, origin: Origin) -> None:
        """Opens its run, and says what it is."""
        place = self._root / run_of(trial)
        if origin == "again":
            for old in self._root.glob(f"{_number(trial)}_*"):
                shutil.rmtree(old)
        fresh = not place.exists()
        self._trials[trial.number] = writer = self._writer(str(place))
        if fresh:
            writer.add_text("configuration", table(trial.settings, "setting"))

    def trial_reached(self, trial: Trial, point: Point) -> None:
        """Its curves by epoch, and by step where there are steps."""
        writer = self._trials[trial.number]
        for name, value in point.values.items():
            writer.add_scalar(f"{name} by epoch", value, point.epoch)
            if point.step:
                writer.add_scalar(f"{name} by step", value, point.step)

    def trial_ended(self, trial: Trial, ending: Ending) -> None:
        """Its last values, its state, and its row in the table of hyper-parameters."""
        writer = self._trials.pop(trial.number)
        at = ending.at.x if ending.at is not None else 0
        for name, value in ending.values.items():
            writer.add_scalar(name, value, at)
        writer.add_text("state", ": ".join(filter(None, (ending.state, ending.reason))), at)
        settings = {**trial.settings, "stage": trial.stage, "state": ending.state}
        # Rows of equal ids are merged, also those of different studies below one directory.
        row = self._hparams(settings, trial_id=f"{self._studied}/{run_of(trial)}")
        writer.file_writer.add_summary(row, 0)
        writer.close()

    def flush(self) -> None:
        """Empties the buffers into the files."""
        for writer in (self._search, *self._trials.values()):
            writer.flush()

    def close(self, *, finished: bool) -> None:
        """Closes the files."""
        for writer in (self._search, *self._trials.values()):
            writer.close()


def place_of(search: Search) -> Path:
    """The directory with the runs of a study."""
    elsewhere = os.environ.get(DIRECTORY)
    if not elsewhere:
        return search.directory / "tensorboard"
    return Path(elsewhere).expanduser() / search.unique


def run_of(trial: Trial) -> str:
    """``trial-0007_toy-small_linear_frozen``."""
    chosen = trial.configuration
    members = (chosen.backbone, chosen.head, chosen.strategy)
    safe = "_".join(re.sub(r"[^\w.@+-]+", "-", member) for member in members)
    return f"{_number(trial)}_{safe}"[:_LONGEST]


def _number(trial: Trial) -> str:
    return f"trial-{trial.number:04d}"
