"""What files belong to by the user's word: a patient, a scene, a day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from automl_transfer.errors import DataError
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.listing import Listing

_LONGEST = 500
"""Characters of a pattern."""


def pattern_of(group_by: str) -> re.Pattern[str]:
    """The regular expression that a user gave.

    Raises:
        DataError: It is none.
    """
    try:
        if len(group_by) > _LONGEST:
            raise re.error(f"it has more than {_LONGEST} characters")
        return re.compile(group_by)
    except re.error as error:
        raise DataError(
            "--group-by must be a column of the manifest or a regular expression on the path, but "
            f"'{group_by}' is neither: {error}."
        ) from error


def grouped(listing: Listing, group_by: str | None) -> Listing:
    """Names the group of each file: what the pattern's first group matches, else its whole match.

    Files that have a group already (by a column) keep it. A file that the pattern does not match
    belongs to nothing but itself.

    Raises:
        DataError: The pattern is none, it matches no file at all, or all files are of one group.
    """
    if group_by is None:
        return listing
    entries = listing.entries
    if not any(entry.group for entry in entries):
        entries = tuple(_matched(entries, pattern_of(group_by)))
    groups = {entry.group for entry in entries if entry.group}
    if not groups:
        raise DataError(
            f"--group-by must name a group for some files, but '{group_by}' matches none of the "
            f"{len(entries)} paths (first: {entries[0].source!r}). Use a regular expression whose "
            "first group is what tells them apart, or a column of the manifest."
        )
    alone = sum(not entry.group for entry in entries)
    if len(groups) == 1 and not alone:
        raise DataError(
            f"Files must be of several groups, since a group is never divided, but --group-by "
            f"'{group_by}' puts all {len(entries)} into {next(iter(groups))!r}."
        )
    parts = (
        "given parts are kept, also where they divide a group"
        if any(entry.part is not None for entry in entries)
        else "a group is never divided between parts"
    )
    notes = [f"{len(groups)} groups by '{group_by}'; {parts}."]
    if alone:
        notes.append(f"{alone} file(s) belong to no group by '{group_by}', and each to itself.")
    return replace(listing, entries=entries, notes=(*listing.notes, *notes))


def _matched(entries: Sequence[Entry], pattern: re.Pattern[str]) -> Iterable[Entry]:
    for entry in entries:
        found = pattern.search(entry.source)
        if found is not None:
            name = found.group(1) if pattern.groups else found.group(0)
            entry = replace(entry, group=name or "")
        yield entry
