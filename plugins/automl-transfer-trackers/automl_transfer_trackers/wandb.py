"""Weights & Biases: a run for the search and a run for each trial, in a group of the study's."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from automl_transfer.space import Scalar
from automl_transfer_trackers.libraries import library
from automl_transfer_trackers.tracker import Axis, Search
from automl_transfer_trackers.trials import Ending, Origin, Point, Trial

PROJECT = "automl-transfer"
"""Unless ``WANDB_PROJECT`` or ``wandb init`` says another."""
INTERRUPTED = 255
"""Exit code of a run that is ended from outside, as W&B has it."""


class WeightsAndBiases:
    """Keeps a run open for each open trial."""

    def __init__(self) -> None:
        self._library = library("wandb", "automl-transfer-trackers[wandb]")
        # Starts the process that writes: here, so that its exit handler comes after ours. The
        # screen is the host's.
        self._known = self._library.setup(self._library.Settings(silent=True)).settings
        self._search: Search | None = None
        self._run: Any = None
        self._trials: dict[int, Any] = {}
        self._drawn: set[int] = set()

    def open(self, search: Search) -> None:
        """Opens the run of the search, where the last session left it."""
        self._search = search
        self._run = self._init("search", search.study, {}, resume="allow")
        for names, axis in (("search/*", "trials"), ("screening/*", "samples")):
            self._run.define_metric(names, step_metric=axis)

    def facts(self, facts: Mapping[str, Scalar], at: int) -> None:
        """Settings of the run of the search."""
        self._run.config.update(dict(facts), allow_val_change=True)

    def values(self, values: Mapping[str, float], axis: Axis, at: int) -> None:
        """History of the run of the search."""
        self._run.log({axis: at, **values})

    def text(self, name: str, text: str, at: int) -> None:
        """Summary of the run of the search."""
        self._run.summary[name] = text

    def trial_started(self, trial: Trial, origin: Origin) -> None:
        """Opens the run of a trial. One that begins again takes the place of the one before."""
        settings = {"trial": trial.number, "stage": trial.stage, **trial.settings}
        resume = "allow" if origin == "continued" else None
        run = self._init(str(trial.number), trial.title, settings, resume=resume)
        self._trials[trial.number] = run

    def trial_reached(self, trial: Trial, point: Point) -> None:
        """History of its run, drawn over steps where there are any, or else over epochs."""
        run = self._trials[trial.number]
        if trial.number not in self._drawn:
            self._drawn.add(trial.number)
            for name in point.values:
                run.define_metric(name, step_metric="step" if point.step else "epoch")
        run.log({"epoch": point.epoch, "step": point.step, **point.values})

    def trial_ended(self, trial: Trial, ending: Ending) -> None:
        """Its last values, its state and the reason; then its run is over."""
        run = self._trials.pop(trial.number)
        run.summary.update({**ending.values, "state": ending.state, "reason": ending.reason})
        run.finish(exit_code=1 if ending.state == "failed" else 0)

    def flush(self) -> None:
        """W&B writes by itself."""

    def close(self, *, finished: bool) -> None:
        """Ends the run of the search, and those of trials that were interrupted."""
        for run in self._trials.values():
            run.summary["state"] = "interrupted"
            run.finish(exit_code=INTERRUPTED)
        self._run.finish(exit_code=0 if finished else INTERRUPTED)

    def _init(self, part: str, name: str, config: Mapping[str, Scalar], resume: str | None) -> Any:
        search = self._search
        assert search is not None
        return self._library.init(
            id=f"{search.identity}-{part}",
            name=name,
            project=self._known.project or PROJECT,
            group=search.study,
            job_type="search" if part == "search" else "trial",
            config={"study": search.study, **config},
            dir=os.environ.get("WANDB_DIR") or str(search.directory),
            mode=self._mode(),
            resume=resume,
            reinit="create_new",
            settings=self._settings(),
        )

    def _mode(self) -> str | None:
        """As it is set up, but offline where W&B would ask for a key and wait for an answer."""
        return None if self._known.mode != "online" or has_key(self._known) else "offline"

    def _settings(self) -> Any:
        return self._library.Settings(
            silent=True,
            console="off",
            # So many runs are not to measure the machine each.
            x_disable_stats=True,
            # A command line may hold the URL of a database.
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            disable_git=True,
            save_code=False,
        )


def has_key(settings: Any) -> bool:
    """Whether W&B finds a key where it looks for one: its settings, or the file ``.netrc``."""
    if settings.api_key or getattr(settings, "identity_token_file", None):
        return True
    given = os.environ.get("NETRC")
    homes = [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for place in homes:
        try:
            if netrc.netrc(place).authenticators(urlsplit(settings.base_url).hostname or ""):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
