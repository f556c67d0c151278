"""Runs the checks of a member."""

from __future__ import annotations

import time
from collections.abc import Iterator

from automl_transfer.entries import one_line
from automl_transfer.errors import AutomlTransferError

# Importing them is what makes their checks known.
from automl_transfer.testing.kit import backbones, cards, heads, modalities, rankers, strategies
from automl_transfer.testing.kit.checking import (
    CHECKS,
    LEVELS,
    Check,
    KindOfMember,
    Level,
    Result,
    Subject,
)

__all__ = [
    "backbones",
    "cards",
    "checks_of",
    "heads",
    "modalities",
    "rankers",
    "run_checks",
    "strategies",
]


def checks_of(kind: KindOfMember, level: Level = "train") -> list[Check]:
    """The checks of a kind of member, those of the cheaper levels first."""
    wanted = LEVELS[: LEVELS.index(level) + 1]
    found = [one for one in CHECKS if kind in one.kinds and one.level in wanted]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def run_checks(subject: Subject, level: Level = "train") -> Iterator[Result]:
    """Runs all checks of a member; one that fails does not keep the others from running.

    Args:
        subject: The member.
        level: The last level that is run.

    Yields:
        What came of each, in their order.
    """
    told: dict[str, str] = {}
    for one in checks_of(subject.kind, level):
        started = time.perf_counter()
        reason = None
        try:
            one.run(subject)
        except (Exception, SystemExit) as error:  # a plugin may raise whatever it likes
            reason = str(error) if isinstance(error, AutomlTransferError) else one_line(error)
            if subject.card.id not in reason:
                reason = f"{subject.card.id}: {reason}"
            first = told.setdefault(reason, one.name)
            if first != one.name:
                reason = f"{subject.card.id}: the same as {first.replace('_', ' ')!r}"
        yield Result(check=one, seconds=time.perf_counter() - started, reason=reason)
