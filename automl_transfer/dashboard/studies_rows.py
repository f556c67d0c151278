"""Studies as rows. Every text is made printable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from automl_transfer.dashboard.snapshot import STANDING_WORDS, Snapshot, Unreadable
from automl_transfer.dashboard.wording import ago, interval_text, metric_words, plain, score_text

COLUMNS = (
    "study",
    "state",
    "data",
    "same data",
    "metric",
    "trials",
    "best",
    "score",
    "interval",
    "winner",
    "updated",
)


def studies(found: Mapping[str, Snapshot | Unreadable]) -> pd.DataFrame:
    """One row a study.

    ``same data`` has a letter for studies whose samples and labels are the same: of those alone
    the scores may be compared. ``best`` is on the validation part, ``score`` on samples that the
    search never saw, with its 95 % ``interval``.
    """
    letters = _letters(found)
    rows = [{**_row(name, one), "same data": letters.get(name, "")} for name, one in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _letters(found: Mapping[str, Snapshot | Unreadable]) -> dict[str, str]:
    prints = {
        name: str(one.data["fingerprint"])
        for name, one in found.items()
        if isinstance(one, Snapshot) and one.data.get("fingerprint")
    }
    shared = [value for value, count in Counter(prints.values()).items() if count > 1]
    # Beyond Z by numbers: nobody has so many by hand.
    names = {value: chr(65 + at) if at < 26 else str(at + 1) for at, value in enumerate(shared)}
    return {name: names[value] for name, value in prints.items() if value in names}


def _row(name: str, found: Snapshot | Unreadable) -> dict[str, Any]:
    try:
        return _study(name, found)
    except Exception as error:  # one damaged study must not hide the others
        reason = f"It is damaged, or another version wrote it ({type(error).__name__})."
        return _study(name, Unreadable(directory=Path(name), reason=reason))


def _study(name: str, found: Snapshot | Unreadable) -> dict[str, Any]:
    if isinstance(found, Unreadable):
        nothing = dict.fromkeys(COLUMNS, "") | {"trials": None}
        said = {"study": plain(name), "state": "unreadable", "winner": plain(found.reason)}
        return nothing | said
    best = found.best_first
    answer = found.recommendation
    winner = answer.winner.configuration if answer else best[0] if best else None
    return {
        "study": plain(name),
        "state": STANDING_WORDS[found.standing()],
        "data": plain(Path(found.request.data).name),
        "metric": metric_words(found.metric),
        "trials": len(found.trials),
        "best": score_text(found.metric, best[0].value if best else None),
        "score": score_text(answer.metric, answer.test.value) if answer else "",
        "interval": interval_text(answer.metric, answer.test.interval) if answer else "",
        "winner": plain(winner.title) if winner else "",
        "updated": ago(found.status.get("updated")),
    }
