"""What an installed plugin needs that is not installed: told from metadata, before its import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion


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
    found = []
    for line in requires or ():
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
