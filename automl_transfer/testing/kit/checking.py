"""What a check is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from automl_transfer.cards import (
    BackboneCard,
    HeadCard,
    ModalityCard,
    RankerCard,
    StrategyCard,
)
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import AutomlTransferError, PluginError
from automl_transfer.registry import Registry

if TYPE_CHECKING:
    from automl_transfer.testing.kit.inputs import Inputs

Level = Literal["card", "shape", "train"]
LEVELS: tuple[Level, ...] = ("card", "shape", "train")
"""Each holds the ones before: what is declared, what is built, what is trained."""
KindOfMember = Literal["backbone", "head", "strategy", "ranker", "modality"]
MemberCard = BackboneCard | HeadCard | StrategyCard | RankerCard | ModalityCard

_KINDS: Mapping[type, KindOfMember] = {
    BackboneCard: "backbone",
    HeadCard: "head",
    StrategyCard: "strategy",
    RankerCard: "ranker",
    ModalityCard: "modality",
}


class CheckFailedError(AutomlTransferError):
    """A member does not do what the contract says: the rule, what was found, what to do."""

    exit_code = PluginError.exit_code


def require(holds: bool, text: str) -> None:
    """Fails the check with ``text`` unless ``holds``.

    Raises:
        CheckFailedError: It does not hold.
    """
    if not holds:
        raise CheckFailedError(text)


@dataclass(kw_only=True)
class Subject:
    """A member that is looked at, with what it takes to look."""

    card: MemberCard
    registry: Registry
    weights: LocalWeights | None = None
    """Of a backbone; None: it is built with random ones."""
    distribution: str = ""
    """That provides the member, for what is looked at in a process of its own; empty: that is
    left out of such checks."""
    seed: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    """What one check has made and another can use."""

    @property
    def kind(self) -> KindOfMember:
        """Which kind of member it is.

        Raises:
            CheckFailedError: There are no checks for it.
        """
        found = _KINDS.get(type(self.card))
        if found is None:
            raise CheckFailedError(
                f"Members that can be checked are {', '.join(_KINDS.values())}, but "
                f"{self.card.id!r} has a {type(self.card).__name__}."
            )
        return found

    @cached_property
    def factory(self) -> Callable[..., Any]:
        """The imported factory of the card."""
        return self.registry.load(self.card)

    @cached_property
    def inputs(self) -> Inputs:
        """Encoded samples for a backbone."""
        from automl_transfer.testing.kit.inputs import inputs_for

        if not isinstance(self.card, BackboneCard):
            raise CheckFailedError(f"{self.card.id!r} is no backbone and takes no samples.")
        return inputs_for(self.card, self.registry)

    def build(self, seed: int | None = None, weights: bool = True) -> Any:
        """The backbone, built afresh."""
        return self.factory(
            card=self.card,
            weights=self.weights if weights else None,
            seed=self.seed if seed is None else seed,
        )


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must hold."""

    name: str
    level: Level
    kinds: tuple[KindOfMember, ...]
    rule: str
    """In words."""
    run: Callable[[Subject], None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a check."""

    check: Check
    seconds: float
    reason: str | None = None
    """Why it failed; None: it held."""

    @property
    def passed(self) -> bool:
        """Whether it held."""
        return self.reason is None


CHECKS: list[Check] = []
EXPECTED: Mapping[KindOfMember, int] = {
    "backbone": 21,
    "head": 11,
    "strategy": 9,
    "ranker": 8,
    "modality": 18,
}
"""How many checks there are at least, by kind: one that got lost is noticed."""


def check(
    level: Level, *kinds: KindOfMember
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Marks a function as a check; the first line of its docstring is the rule."""

    def mark(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        rule = (function.__doc__ or "").strip().splitlines()[0]
        CHECKS.append(
            Check(name=function.__name__, level=level, kinds=kinds, rule=rule, run=function)
        )
        return function

    return mark
