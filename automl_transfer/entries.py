"""Who provides a member, and which plugins were set aside and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from automl_transfer.cards import (
    BackboneCard,
    HeadCard,
    ModalityCard,
    PrunerCard,
    RankerCard,
    SampleDataCard,
    SamplerCard,
    StrategyCard,
)

AnyCard: TypeAlias = (
    ModalityCard
    | BackboneCard
    | HeadCard
    | StrategyCard
    | RankerCard
    | SamplerCard
    | PrunerCard
    | SampleDataCard
)
CardT = TypeVar("CardT", bound=AnyCard, covariant=True)

Stage = Literal[
    "disabled", "requirements", "import", "contract", "hooks", "call", "card", "duplicate"
]
"""What a plugin failed at; ``disabled``: the user switched it off."""

OURS = "automl-transfer"
"""The distribution of the plugin that we ship."""

SLOW = 1.0
"""Seconds of an import that are told of: all commands wait for it, ``--help`` of a plugin's
commands too."""

_LONGEST_REASON = 300


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a plugin comes from."""

    distribution: str
    version: str
    plugin: str
    """Name of the entry point."""
    first_party: bool = False

    @property
    def text(self) -> str:
        """``acme-transfer 1.2``."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A plugin that was let in."""

    origin: Origin
    seconds: float
    """Its import took."""

    @property
    def is_slow(self) -> bool:
        """Whether people should be told."""
        return self.seconds > SLOW


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a registry looked for plugins: another process that looks there gets the same."""

    disabled: tuple[str, ...] = ()
    extra: tuple[object, ...] = ()
    builtin: bool = True
    third_party: bool = True


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[CardT]):
    """A card and who provides it."""

    card: CardT
    distribution: str
    version: str
    plugin: str

    @property
    def provider(self) -> str:
        """``acme-transfer 1.2``."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """A plugin, or a part of one, that is left out."""

    distribution: str
    version: str
    plugin: str
    stage: Stage
    reason: str
    """One line."""
    hint: str
    """What the user can do about it."""
    ids: tuple[str, ...] = ()
    """The members that are left out, where they are known."""

    @property
    def provider(self) -> str:
        """``acme-transfer 1.2``."""
        return f"{self.distribution} {self.version}".strip()

    def concerns(self, id: str) -> bool:
        """Whether the member ``id`` is, or by its namespace seems to be, one of those left out."""
        if id in self.ids:
            return True
        namespace, slash, _ = id.partition("/")
        if not slash or (self.ids and self.stage in ("card", "duplicate")):
            return False  # of the others of its members nothing is wrong
        wanted, names = normalised(namespace), names_of(self)
        return any(
            name == wanted
            or name.startswith(f"{wanted}-")
            or name.removeprefix("automl-transfer-") == wanted
            for name in names
        )


def names_of(one: Origin | Entry[Any] | Quarantine) -> set[str]:
    """What people may call the plugin that something comes from, as :func:`normalised`: its
    distribution, or its entry point."""
    return {normalised(one.distribution), normalised(one.plugin)}


def normalised(name: str) -> str:
    """A distribution name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def one_line(error: BaseException | str) -> str:
    """An error as one printable line, at most 300 characters long."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}".rstrip(": ")
    text = " ".join(text.split())
    # A plugin's message goes to a terminal: escape sequences must not.
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def set_aside(
    origin: Origin,
    stage: Stage,
    error: BaseException | str,
    ids: tuple[str, ...] = (),
    hint: str | None = None,
) -> Quarantine:
    """The row that tells of a failure of ``origin``, with a hint that fits the stage if none is
    given."""
    return Quarantine(
        distribution=origin.distribution,
        version=origin.version,
        plugin=origin.plugin,
        stage=stage,
        reason=one_line(error),
        hint=_hint(origin, stage) if hint is None else hint,
        ids=ids,
    )


def _hint(origin: Origin, stage: Stage) -> str:
    if origin.first_party:
        return "This is a bug in automl-transfer; reinstall it, or report it."
    return (
        f"Upgrade or uninstall {origin.distribution}, or set "
        f"AUTOML_TRANSFER_DISABLE_PLUGINS={origin.distribution}."
    )
