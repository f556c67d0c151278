"""What it takes to repeat a study: versions, machine, weights, data."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from automl_transfer.outcome import Outcome
from automl_transfer.registry import Registry
from automl_transfer.stages.context import Candidate, Context

_PACKAGES = (
    "automl-transfer",
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "optuna",
    "scikit-learn",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def start_provenance(registry: Registry, seed: int) -> dict[str, Any]:
    """What is known before a search begins."""
    return {
        "versions": versions(),
        "registry": registry.digest,
        "seed": seed,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "executable": os.path.basename(sys.executable),
    }


def provenance(context: Context, winner: Outcome, candidate: Candidate) -> dict[str, Any]:
    """What stands behind a recommendation."""
    from automl_transfer.training.device import describe

    return {
        **start_provenance(context.registry, context.request.seed),
        "device": describe(context.device),
        "data": context.dataset.fingerprint,
        "layout": context.dataset.layout,
        "splits": context.splits.description,
        "providers": dict(winner.providers),
        "weights": {
            "backbone": candidate.card.id,
            "source": candidate.weights.source if candidate.weights else None,
            "sha256": candidate.weights.sha256 if candidate.weights else None,
            "license": candidate.card.weights.license,
            "pretrained_on": candidate.card.weights.pretrained_on,
        },
    }
