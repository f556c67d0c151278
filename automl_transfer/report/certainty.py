"""How sure the answer is, in words that the statistics allow.

One configuration *beats* another here only where the simultaneous interval of the difference
excludes 0; of all others it is said that no difference is shown, and how large one would have had
to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.recommendation import Confirmation, Finalist, HeldOutScore, Recommendation
from automl_transfer.report.figures import counted, difference, differences, share


def is_held_out(test: HeldOutScore) -> bool:
    """Whether the winner was scored on samples that the search never saw."""
    return test.source not in _PLACES


def place(test: HeldOutScore) -> str:
    """Where the winner was scored, in words."""
    return _PLACES.get(test.source, "on the test part")


_PLACES = {
    "cross-validation": "by cross-validation",
    "validation": "on the validation part (corrected)",
}
"""By source of a score, if that is not the test part."""


def is_behind(row: Finalist) -> bool:
    """Whether a finalist is shown to be worse than the best of them."""
    return row.behind is not None and row.behind.low > 0 and not row.tied


def winner_of(recommendation: Recommendation) -> Finalist | None:
    """The winner among the finalists; None where there were none."""
    found = recommendation.confirmation
    rows = found.finalists if found else ()
    return next((row for row in rows if row.number == recommendation.winner.number), None)


def how_sure(recommendation: Recommendation) -> str:
    """Sentences about the tie group, the probability of being the best, and the resolution."""
    found = recommendation.confirmation
    if found is None or not found.finalists:
        return (
            "The best trials were not compared on fresh folds: the order of those that lie close "
            "together may be chance."
        )
    if len(found.finalists) == 1:
        return f"Only one configuration was confirmed ({_ground(found)}); it has no rival."
    chosen = winner_of(recommendation)
    best, *others = found.finalists
    level = [row for row in others if not is_behind(row)]
    beaten = [row for row in others if is_behind(row)]
    sentences = [f"{counted(len(found.finalists), 'finalist')} compared ({_ground(found)})."]
    metric = recommendation.metric
    if level:
        rest = [row for row in (best, *level) if row is not chosen]
        first = f"the winner (trial {chosen.number}) and" if chosen in (best, *level) else "all of"
        sentences.append(f"No difference is shown between {first} {_listed(rest)}.")
        if found.minimum_detectable is not None:
            sentences.append(
                f"Differences below {difference(metric, found.minimum_detectable)} would not have "
                "been seen reliably (power 0.8)."
            )
    if beaten:
        least = min((row.behind for row in beaten if row.behind), key=lambda ends: ends.low)
        subject = "The winner" if chosen is best else f"Trial {best.number}, the best by score,"
        which = "the closest of them by " if len(beaten) > 1 else "by "
        sentences.append(
            f"{subject} beats {_listed(beaten)}, {which}{differences(metric, least)} (95 % "
            "interval, corrected for all comparisons)."
        )
    if chosen is not None:
        sentences.append(
            f"The winner is the best of the finalists with a probability of {share(chosen.p_best)}"
            " (share of joint resamples)."
        )
    return " ".join(sentences)


def _ground(found: Confirmation) -> str:
    times = f", {found.repeats} times over" if found.repeats > 1 else ""
    return f"{counted(found.samples, 'sample')}, {counted(found.folds, 'fresh fold')}{times}"


def _listed(rows: Sequence[Finalist]) -> str:
    """``trial 3``, ``trials 3, 5 and 8``."""
    *first, last = (str(row.number) for row in rows)
    return f"trials {', '.join(first)} and {last}" if first else f"trial {last}"
