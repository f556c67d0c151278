"""What an installed plugin needs that is not installed: told from metadata, before its import."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?: *>= *([0-9]+(?:\.[0-9]+)*))?")
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Unmet:
    """A requirement that is not met."""

    requirement: Requirement
    installed: str | None
    """Version that is there; None: none is."""

    @property
    def text(self) -> str:
        """``needs torch>=3, but 2.6 is installed``."""
        there = "is not installed" if self.installed is None else f"{self.installed} is installed"
        return (
            f"needs {self.requirement.name}{self.requirement.specifier}, "
            f"{'which' if self.installed is None else 'but'} {there}"
        )

    @property
    def install(self) -> str:
        """The command that meets it."""
        return f"pip install '{self.requirement.name}{self.requirement.specifier}'"


def unmet(
    requires: Iterable[str] | None, installed: Callable[[str], str] = version
) -> list[Unmet]:
    """Requirements of a distribution, without its extras, that are not met.

    Args:
        requires: Lines of its metadata (``Requires-Dist``).
        installed: Version of a distribution by its name; raises ``PackageNotFoundError``.
    """
    # Most plugins need plain names and least versions, which are there: to see that, `packaging`,
    # which takes longer to import than all cards to list, is not needed.
    lines = [line for line in requires or () if not _is_plainly_met(line, installed)]
    if not lines:
        return []
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion

    found = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # what pip let in is not ours to judge
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            there = installed(requirement.name)
        except PackageNotFoundError:
            found.append(Unmet(requirement=requirement, installed=None))
            continue
        try:
            fits = requirement.specifier.contains(there, prereleases=True)
        except InvalidVersion:
            fits = True
        if not fits:
            found.append(Unmet(requirement=requirement, installed=there))
    return found


def _is_plainly_met(line: str, installed: Callable[[str], str]) -> bool:
    """Whether a line is a name, or a name and a least version, of numbers alone, that is there."""
    plain = _PLAIN.fullmatch(line.strip())
    if plain is None:
        return False
    try:
        there = installed(plain[1])
    except PackageNotFoundError:
        return False
    if plain[2] is None:
        return True
    if _NUMBERS.fullmatch(there) is None:
        return False
    pairs = zip_longest(map(int, there.split(".")), map(int, plain[2].split(".")), fillvalue=0)
    return next((has > least for has, least in pairs if has != least), True)
