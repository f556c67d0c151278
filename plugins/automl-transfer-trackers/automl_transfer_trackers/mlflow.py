"""MLflow: one parent run for a study, and a nested run for each trial."""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Mapping
from typing import Any

from automl_transfer.space import Scalar
from automl_transfer_trackers.libraries import library
from automl_transfer_trackers.tracker import Axis, Search
from automl_transfer_trackers.trials import Ending, Origin, Point, Trial

EXPERIMENT, EXPERIMENT_ID = "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"
"""Environment variables of MLflow's own, which the client does not read by itself."""
STUDY = "automl_transfer.study"
IDENTITY = "automl_transfer.identity"
PART = "automl_transfer.part"
"""Tags of each run: the study by name, by its identity, and what of it: ``search`` or a number."""
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
"""Tags that MLflow knows: the run that it belongs to, and what its page begins with."""
STATUS = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_INSTALL = "automl-transfer-trackers[mlflow]"
_LONGEST = 5000
"""Characters of a tag that servers of every version take."""


class MLflow:
    """Writes through the client, which names the run each time: many are open at once."""

    def __init__(self) -> None:
        # Or it prints a line for each trial to where `search --json` prints its answer.
        os.environ.setdefault(_QUIET, "true")
        self._library = library("mlflow", _INSTALL)
        self._client: Any = None
        self._experiment = ""
        self._parent = ""
        self._tags: dict[str, str] = {}
        self._trials: dict[int, str] = {}

    def open(self, search: Search) -> None:
        """Opens the parent run; that of the last session, if there is one."""
        self._client = self._library.MlflowClient()
        self._experiment = self._find_experiment(search.study)
        self._tags = {STUDY: search.study, IDENTITY: search.identity}
        self._parent = self._find("search") or self._create(search.study, {PART: "search"})

    def facts(self, facts: Mapping[str, Scalar], at: int) -> None:
        """Tags: other than parameters they may change when a study is resumed."""
        self._log(self._parent, tags=facts)

    def values(self, values: Mapping[str, float], axis: Axis, at: int) -> None:
        """Metrics of the parent run."""
        self._log(self._parent, values, at)

    def text(self, name: str, text: str, at: int) -> None:
        """A tag; the recommendation is the description of the parent run."""
        self._log(self._parent, tags={NOTE if name == "recommendation" else name: text})

    def trial_started(self, trial: Trial, origin: Origin) -> None:
        """Opens the run of a trial; one that its trial does not go on from is removed."""
        part = str(trial.number)
        found = self._find(part) if origin != "new" else None
        if found is not None and origin == "again":
            self._client.delete_run(found)
            found = None
        if found is None:
            tags = {PART: part, PARENT: self._parent, "stage": trial.stage}
            found = self._create(trial.title, tags)
            self._log(found, params=trial.settings)
        self._trials[trial.number] = found
        self._log(found, tags={"state": "running"})

    def trial_reached(self, trial: Trial, point: Point) -> None:
        """Metrics by step, or by epoch where only a head trained."""
        self._log(self._trials[trial.number], {**point.values, "epoch": point.epoch}, point.x)

    def trial_ended(self, trial: Trial, ending: Ending) -> None:
        """Its last values, its state and the reason; then its run is over."""
        run = self._trials.pop(trial.number)
        tags = {"state": ending.state, **({"reason": ending.reason} if ending.reason else {})}
        self._log(run, ending.values, ending.at.x if ending.at is not None else 0, tags=tags)
        self._client.set_terminated(run, status=STATUS[ending.state])

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self, *, finished: bool) -> None:
        """Ends the parent run, and those of trials that were interrupted."""
        for run in self._trials.values():
            self._log(run, tags={"state": "interrupted"})
            self._client.set_terminated(run, status="KILLED")
        self._client.set_terminated(self._parent, status="FINISHED" if finished else "KILLED")

    def _find_experiment(self, study: str) -> str:
        if given := os.environ.get(EXPERIMENT_ID):
            return given
        name = os.environ.get(EXPERIMENT) or study
        found = self._client.get_experiment_by_name(name)
        made: str = found.experiment_id if found else self._client.create_experiment(name)
        return made

    def _find(self, part: str) -> str | None:
        """The run of an earlier session, set to work again."""
        tags = {**self._tags, PART: part}
        wanted = " and ".join(f"tags.`{name}` = '{tags[name]}'" for name in (IDENTITY, PART))
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        if not found:
            return None
        run: str = found[0].info.run_id
        self._client.update_run(run, status="RUNNING")
        return run

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, run_name=name, tags={**self._tags, **tags})
        made: str = run.info.run_id
        return made

    def _log(
        self,
        run: str,
        values: Mapping[str, float] | None = None,
        at: int = 0,
        *,
        params: Mapping[str, Scalar] | None = None,
        tags: Mapping[str, Scalar] | None = None,
    ) -> None:
        kinds, now = self._library.entities, int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[
                kinds.Metric(name_of(name), value, now, at)
                for name, value in (values or {}).items()
            ],
            params=[
                kinds.Param(name_of(name), str(value)) for name, value in (params or {}).items()
            ],
            tags=[
                kinds.RunTag(name_of(name), str(value)[:_LONGEST])
                for name, value in (tags or {}).items()
            ],
        )


def name_of(name: str) -> str:
    """A name with only what MLflow takes in one: ``@`` of a backbone's becomes ``_``."""
    return posixpath.normpath(re.sub(r"[^\w/. :-]", "_", name))
