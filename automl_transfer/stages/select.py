"""Which members a search may choose from: the options' names and globs, resolved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from automl_transfer.cards import BackboneCard, HeadCard, StrategyCard
from automl_transfer.errors import (
    EmptySpaceError,
    PluginError,
    UsageError,
    WeightsUnavailableError,
    did_you_mean,
)
from automl_transfer.kinds import Kind
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest

Card = TypeVar("Card", HeadCard, StrategyCard)

_GONE = "its trials are kept, but it cannot be had any more"


def is_glob(pattern: str) -> bool:
    """Whether a name is a pattern. A ``local:`` path never is."""
    return not pattern.startswith("local:") and any(sign in pattern for sign in "*?[")


def excluded(id: str, patterns: Iterable[str]) -> bool:
    """Whether any of the patterns matches."""
    return any(id == pattern or fnmatchcase(id, pattern) for pattern in patterns)


def select_heads(request: SearchRequest, registry: Registry) -> tuple[HeadCard, ...]:
    """Heads to search over."""
    cards = [entry.card for entry in registry.heads.values()]
    return _select("head", cards, request.heads, request.exclude, cards, registry.head)


def select_strategies(request: SearchRequest, registry: Registry) -> tuple[StrategyCard, ...]:
    """Freeze strategies to search over; baselines only when named."""
    cards = [entry.card for entry in registry.strategies.values()]
    usual = [card for card in cards if not card.baseline]
    chosen = request.strategies
    return _select("strategy", cards, chosen, request.exclude, usual, registry.strategy)


def heads_for(
    kind: Kind, heads: Sequence[HeadCard], request: SearchRequest
) -> tuple[HeadCard, ...]:
    """Those of the selected heads that are meant for a kind of target.

    Raises:
        UsageError: One that was named is not.
        EmptySpaceError: None is.
    """
    fit = tuple(card for card in heads if kind in card.kinds)
    named = [card for card in heads if card not in fit and card.id in request.heads]
    if named:
        raise UsageError(
            f"--head must name heads for a {kind} task, but {named[0].id!r} is for "
            f"{' and '.join(named[0].kinds)} only. Fit are: "
            f"{', '.join(card.id for card in fit) or 'none of those that are selected'}."
        )
    if not fit:
        raise EmptySpaceError(
            f"At least one head for a {kind} task must be left to search over, but of "
            f"{', '.join(card.id for card in heads)} none is."
        )
    return fit


def require_ranker(kind: Kind, request: SearchRequest, registry: Registry) -> None:
    """Checks that the ranker can be told targets of a kind.

    Raises:
        UsageError: It cannot.
    """
    card = registry.ranker(request.ranker)
    if kind not in card.kinds:
        raise UsageError(
            f"--ranker must name a ranker for a {kind} task, but {card.id!r} is for "
            f"{' and '.join(card.kinds)} only."
        )


def check_excluded(request: SearchRequest, registry: Registry) -> None:
    """Refuses a name to leave out that nothing has.

    Backbones outside of the plugins are known by name only: of a pattern, a path and a name with a
    family nobody can say that there is no such one.
    """
    known = [*registry.heads, *registry.strategies, *registry.backbones]
    for name in request.exclude:
        if name not in known and not is_glob(name) and not {"/", ":"} & {*name}:
            raise UsageError(
                "--exclude must name a head, a freeze strategy or a backbone, or be a glob, but "
                f"got {name!r}.{did_you_mean(name, known)}"
            )


def _select(
    kind: str,
    cards: list[Card],
    patterns: tuple[str, ...],
    exclude: tuple[str, ...],
    usual: list[Card],
    look_up: Callable[[str], object],
) -> tuple[Card, ...]:
    known = [card.id for card in cards]
    chosen = usual if not patterns else []
    for pattern in patterns:
        matching = [card for card in cards if excluded(card.id, [pattern])]
        if not matching:
            with contextlib.suppress(UsageError):
                look_up(pattern)  # says so if the plugin that offers it is set aside
            raise UsageError(
                f"--{kind} must name one of {', '.join(known)}, or a glob that matches one, but "
                f"got {pattern!r}.{did_you_mean(pattern, known)}"
            )
        chosen = chosen + [card for card in matching if card not in chosen]
    left = tuple(card for card in chosen if not excluded(card.id, exclude))
    if not left:
        raise EmptySpaceError(
            f"At least one {kind} must be left to search over, but --exclude "
            f"{', '.join(map(repr, exclude))} leaves none of: {', '.join(known)}."
        )
    return left


def select_backbones(
    request: SearchRequest, registry: Registry, modality: str, earlier: Collection[str] = ()
) -> Iterator[BackboneCard | tuple[str, str]]:
    """Yields the cards to try, or (name, reason) for one that has no card to be had.

    Without ``--backbone``: the portfolio and whatever installed plugins always offer.

    Args:
        request: What is asked.
        registry: Of the plugins.
        modality: Of the data.
        earlier: Backbones of trials of the study: one that is named and gone is no mistake.

    Raises:
        UsageError: A pattern matches nothing, or a named backbone is of another modality.
    """
    listed = {
        entry.card.id: entry.card
        for entry in registry.backbones.values()
        if entry.card.modality == modality
    }
    offered = listed | {card.id: card for card in registry.portfolio(request.portfolio, modality)}
    seen: set[str] = set()
    for pattern in request.backbones or ("*",):
        names = (
            [id for id in offered if fnmatchcase(id, pattern)] if is_glob(pattern) else [pattern]
        )
        gone = [
            id
            for id in sorted(earlier)
            if is_glob(pattern) and fnmatchcase(id, pattern) and id not in offered
        ]
        for id in gone:
            if id not in seen and not excluded(id, request.exclude):
                seen.add(id)
                yield id, f"{_GONE}: nobody offers it"
        if not names and not gone and request.backbones:
            others = {
                entry.card.modality
                for entry in registry.backbones.values()
                if fnmatchcase(entry.card.id, pattern)
            }
            if others:
                raise UsageError(
                    f"--backbone {pattern!r} must match a backbone for {modality!r} data, but "
                    f"what it matches is for {' and '.join(map(repr, sorted(others)))}."
                )
            with contextlib.suppress(UsageError, WeightsUnavailableError):
                registry.backbone(pattern)  # says so if the plugin that offers it is set aside
            raise UsageError(
                f"--backbone {pattern!r} must match a backbone that is offered, but matches none "
                f"of {', '.join(sorted(offered))}. Larger families are named one by one "
                "(timm/NAME, torchvision/NAME, hf/REPO, local:PATH)."
            )
        for name in names:
            if name in seen or excluded(name, request.exclude):
                continue
            seen.add(name)
            if name in offered:
                yield offered[name]
                continue
            try:
                card = registry.backbone(name)
            except WeightsUnavailableError as error:
                yield name, str(error)
                continue
            except (UsageError, PluginError) as error:
                if name not in earlier:
                    raise
                yield name, f"{_GONE}: {error}"
                continue
            if card.modality != modality:
                raise UsageError(
                    f"A backbone must be for {modality!r} data, but {name!r} is for "
                    f"{card.modality!r}."
                )
            yield card
