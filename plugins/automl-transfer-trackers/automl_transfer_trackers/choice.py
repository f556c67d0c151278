"""Which trackers are on: the environment says so."""

from __future__ import annotations

import logging
import os
from importlib import import_module

from automl_transfer.errors import UsageError, did_you_mean
from automl_transfer_trackers.lane import Lane

VARIABLE = "AUTOML_TRANSFER_TRACKERS"
"""Environment variable: comma-separated names of trackers; :data:`DEFAULT` when it is empty."""
DEFAULT = "tensorboard"
NONE = "none"
TRACKERS = {
    "tensorboard": ("automl_transfer_trackers.tensorboard", "TensorBoard"),
    "mlflow": ("automl_transfer_trackers.mlflow", "MLflow"),
    "wandb": ("automl_transfer_trackers.wandb", "WeightsAndBiases"),
}
"""A tracker to its module and class."""

_LOG = logging.getLogger(__name__)


def wanted() -> list[str]:
    """Names from the environment, each once."""
    said = os.environ.get(VARIABLE, "").strip() or DEFAULT
    names = dict.fromkeys(name.strip().lower() for name in said.split(","))
    return [name for name in names if name not in ("", NONE)]


def opened() -> list[Lane]:
    """The trackers that are wanted; one that cannot be had is told of and left out."""
    lanes = []
    for name in wanted():
        try:
            lanes.append(_open(name))
        except Exception as error:  # a library may also be broken, or not fit another
            _LOG.warning("The tracker %s is off: %s", name, error)
    return lanes


def _open(name: str) -> Lane:
    if name not in TRACKERS:
        known = [*TRACKERS, NONE]
        raise UsageError(
            f"{VARIABLE} must be a list of names among {', '.join(known)}, but has {name!r}."
            + (did_you_mean(name, known) or f" Set it to one of them, as in {VARIABLE}={DEFAULT}.")
        )
    module, kind = TRACKERS[name]
    return Lane(name, getattr(import_module(module), kind)())
