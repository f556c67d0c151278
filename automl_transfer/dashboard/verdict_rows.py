"""Tables of the answer. Every text is made printable."""

from __future__ import annotations

import pandas as pd

from automl_transfer.dashboard import data_rows
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import interval_text, plain
from automl_transfer.report.certainty import is_behind
from automl_transfer.report.figures import differences, in_unit, latency, rate, room


def baselines(snapshot: Snapshot) -> pd.DataFrame:
    """The winner and the yardsticks on the same samples, best first, those that were not run last;
    empty without an answer."""
    columns = ["what", "description", "value"]
    answer = snapshot.recommendation
    if answer is None:
        return pd.DataFrame(columns=columns)
    rows = [
        {
            "what": "the recommended model",
            "description": plain(answer.winner.configuration.title),
            "value": answer.test.value,
        }
    ]
    rows += [
        {"what": plain(row.name), "description": plain(row.description), "value": row.value}
        for row in answer.baselines
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"value": "float64"})
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def finalists(snapshot: Snapshot) -> pd.DataFrame:
    """The finalists, best confirmed score first; empty where none were confirmed.

    ``chosen`` and ``confirmed`` are the study's metric, ``p_best`` runs from 0 to 1.
    """
    answer = snapshot.recommendation
    found = answer.confirmation if answer is not None else None
    metric = answer.metric if answer is not None else ""
    winner = answer.winner.number if answer is not None else None
    return pd.DataFrame(
        [
            {
                "tier": 2 if is_behind(row) else 1,
                "trial": row.number,
                "configuration": plain(row.configuration.title),
                "chosen": row.selected_on,
                "confirmed": row.value,
                "interval": interval_text(metric, row.interval),
                "behind the best": differences(metric, row.behind),
                "p_best": row.p_best,
                "latency": latency(row.cost.latency) if row.cost else "",
                "in batches": rate(row.cost.throughput) if row.cost else "",
                "size": room(row.cost.bytes) if row.cost else "",
                "": "winner" if row.number == winner else "",
            }
            for row in (found.finalists if found else ())
        ]
    )


def unit(study: Snapshot) -> float:
    """What the tolerance is a share of: 1, or, of numbers, their spread in the training part."""
    if not in_unit(study.metric):
        return 1.0
    numbers = data_rows.numbers(study.directory)
    if numbers is None:
        return 1.0
    spread = float(numbers.loc[numbers["part"] == "train", "number"].std(ddof=0))
    return spread if spread > 0 else 1.0
