"""What can go wrong, and the exit code that each kind of trouble ends a command with.

An :class:`AutomlTransferError` is something the user can act on: its text says the rule, the value
that broke it and the next step. Any other exception that reaches the command line is a bug.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LONGEST_REASON = 2000


SURROUNDINGS = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EIO",
        "ESTALE",
        "EACCES",
        "EPERM",
        "ENODEV",
        "ENXIO",
    )
    if hasattr(errno, name)
)
"""Errors of the operating system that are no defect of whoever meets them."""


class AutomlTransferError(Exception):
    """Base of every error that is the user's to see. Ends a command with exit code 1."""

    exit_code = 1


class UsageError(AutomlTransferError, ValueError):
    """An option or argument does not fit. Exit code 2."""

    exit_code = 2


class PluginError(AutomlTransferError):
    """A plugin that was asked for is broken, missing or ambiguous. Exit code 3."""

    exit_code = 3


class CardError(PluginError, ValueError):
    """A card breaks a rule of the plug-in contract."""


class DataError(AutomlTransferError, ValueError):
    """The user's data cannot be used as they are. Exit code 4."""

    exit_code = 4


class EmptySpaceError(AutomlTransferError):
    """No configuration is left to search over. Exit code 5."""

    exit_code = 5


class NothingUsableError(AutomlTransferError):
    """The search ended and no trial produced a model. Exit code 1."""


class StudyError(AutomlTransferError):
    """A stored study is missing, damaged, busy or of another version. Exit code 1."""


class NoStudyError(StudyError):
    """There is no such study where it was looked for."""


class WeightsUnavailableError(AutomlTransferError):
    """Pretrained weights are in none of the places where they were looked for."""


class TrialError(AutomlTransferError):
    """One trial cannot go on; the search does."""

    kind = "error"


class DivergedError(TrialError):
    """The loss or the score of a trial is not a finite number."""

    kind = "diverged"


class OutOfMemoryError(TrialError):
    """A trial needs more memory than there is, also at its smallest batch."""

    kind = "out-of-memory"


class FreezeViolationError(TrialError):
    """A tensor that the freeze strategy declared frozen has moved."""

    kind = "freeze-violation"


@contextmanager
def staying(who: str) -> Iterator[None]:
    """Code of others that ends the process in this block has failed, and nothing else has.

    Args:
        who: Whose code it is, to begin a sentence with.

    Raises:
        PluginError: It tried to.
    """
    try:
        yield
    except SystemExit as error:
        raise PluginError(
            f"{who} must not end the process, but it raised SystemExit: {error.code}."
        ) from error


def reason_of(error: BaseException) -> str:
    """Why a trial failed, as its row says it. A plugin's bug is that trial's own."""
    if isinstance(error, TrialError):
        return f"{error.kind}: {error}"[:_LONGEST_REASON]
    text = str(error) if isinstance(error, AutomlTransferError) else repr(error)
    return f"error: {text}"[:_LONGEST_REASON]


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """Returns `` Did you mean 'x'?`` for the closest of ``known``, or an empty string."""
    import difflib  # listing plugins does without it

    close = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.5)
    if not close:
        return ""
    return f" Did you mean {' or '.join(repr(name) for name in close)}?"
