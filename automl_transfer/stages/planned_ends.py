"""Until when each stage may run, as far as that is fixed before a search."""

from __future__ import annotations

from automl_transfer.stages import heads, screen
from automl_transfer.stages.context import Context


def planned_ends(context: Context) -> dict[str, float | None]:
    """Shares of the time budget that are spent when a stage must be over, at the latest.

    None where nothing is fixed: fine-tuning and the finalists' fresh folds have what the end of
    the search, as measured, leaves to them. The first backbone is looked at however long it takes,
    time that fine-tuning cannot use goes to further backbones and heads, and a search that is
    resumed has, for screening, a share of what is left.

    Args:
        context: Of the search, before its first stage.
    """
    timed = context.request.budget_seconds is not None
    return {
        "load": None,
        "screen": screen.SHARE if timed else None,
        "heads": heads.SHARE if timed and context.tunes else None,
        "tune": None,
        "confirm": None,
        "recommend": 1.0 if timed else None,
    }
