"""What can be done about the common reasons for which trials fail."""

from __future__ import annotations

import re

_MISSING = re.compile(r"No module named '([A-Za-z0-9_.]{1,60})'")
_HINTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), hint)
    for pattern, hint in (
        (
            r"out[- ]?of[- ]?memory|cannot allocate|std::bad_alloc",
            "A smaller batch was tried already. Leave out the largest backbones with "
            "--max-params 25M, say, or close what else uses the memory.",
        ),
        (
            r"diverged|not finite|\bnan\b",
            "Nothing to do: these settings were too bold, and the search learns from it.",
        ),
        (
            r"no space left|disk is full|disk quota",
            "Make room on the disk, then resume the search.",
        ),
        (
            r"freeze-violation",
            "A fault of the plugin: something that it declared frozen has moved. Leave it out "
            "with --exclude, and tell whoever wrote it.",
        ),
        (
            r"its process",
            "The process was ended from outside, most often for want of memory: use fewer "
            "devices at once, or leave out the largest backbones with --max-params.",
        ),
        (
            r"cannot be reached|name or service not known|timed out|connection",
            "The network was not there. Connect and resume, or add --offline to use only what "
            "is on this machine.",
        ),
        (
            r"out-of-time|budget",
            "The time was used up. A larger --budget lets them go on.",
        ),
    )
)


def hint(reason: str) -> str:
    """What to do about a reason; an empty text where nothing general can be said."""
    missing = _MISSING.search(reason)
    if missing:
        package = missing.group(1).split(".")[0]
        return (
            "A package is missing; it often has the same name: "
            f"pip install {package.replace('_', '-')}"
        )
    return next((words for pattern, words in _HINTS if pattern.search(reason)), "")
