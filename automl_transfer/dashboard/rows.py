"""Tables that several pages have. Every text in them is made printable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from automl_transfer.dashboard.wording import plain
from automl_transfer.outcome import Outcome


def curves(trials: Iterable[Outcome]) -> pd.DataFrame:
    """One row an epoch of each trial: ``trial``, ``what``, ``epoch``, ``value``, ``loss``..."""
    return pd.DataFrame(
        [
            {
                "trial": trial.number,
                "what": plain(trial.configuration.title),
                "backbone": plain(trial.configuration.backbone),
                "strategy": plain(trial.configuration.strategy),
                "state": trial.state,
                "epoch": point.epoch,
                "value": point.value,
                "loss": point.loss,
                "seconds": point.seconds,
            }
            for trial in trials
            for point in trial.curve
        ],
        columns=[
            "trial",
            "what",
            "backbone",
            "strategy",
            "state",
            "epoch",
            "value",
            "loss",
            "seconds",
        ],
    )


def facts(values: Mapping[str, Any]) -> pd.DataFrame:
    """Names and values as two columns of text; nested names are joined by dots."""
    return pd.DataFrame(list(_flat(values)), columns=["name", "value"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and value != {}:
            shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            yield plain(f"{prefix}{name}"), plain(shown)
