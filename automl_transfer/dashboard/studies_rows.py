"""Studies as rows. Every text is made printable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from automl_transfer.dashboard.snapshot import STANDING_WORDS, Snapshot, Unreadable
from automl_transfer.dashboard.wording import ago, plain, score_text


def studies(found: Mapping[str, Snapshot | Unreadable]) -> pd.DataFrame:
    """One row a study: state, data, metric, trials, best, winner, when it was last heard of."""
    columns = ["study", "state", "data", "metric", "trials", "best", "winner", "updated"]
    return pd.DataFrame([_study(name, one) for name, one in found.items()], columns=columns)


def _study(name: str, found: Snapshot | Unreadable) -> dict[str, Any]:
    if isinstance(found, Unreadable):
        return {
            "study": plain(name),
            "state": "unreadable",
            "data": "",
            "metric": "",
            "best": "",
            "winner": plain(found.reason),
            "updated": "",
        }
    best = found.best_first
    answer = found.recommendation
    winner = answer.winner.configuration if answer else best[0] if best else None
    return {
        "study": plain(name),
        "state": STANDING_WORDS[found.standing()],
        "data": plain(Path(found.request.data).name),
        "metric": plain(found.metric),
        "trials": len(found.trials),
        "best": score_text(found.metric, best[0].value if best else None),
        "winner": plain(winner.title) if winner else "",
        "updated": ago(found.status.get("updated")),
    }
