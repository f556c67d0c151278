"""Finds what is to be checked: a member by its id, or all members of a plugin."""

from __future__ import annotations

from typing import Any

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.entries import Entry, names_of, normalised
from automl_transfer.errors import PluginError, UsageError, WeightsUnavailableError
from automl_transfer.registry import Registry
from automl_transfer.testing.kit.checking import MemberCard, Subject


def subjects(registry: Registry, target: str, seed: int = 0) -> list[Subject]:
    """The members that ``target`` names.

    Args:
        registry: Of the plugins.
        target: An id, or the name of a distribution or of an entry point.
        seed: For random weights and draws.

    Raises:
        UsageError: It names nothing that can be checked.
        PluginError: The plugin that offers it is set aside.
    """
    found: list[Entry[Any]] = [
        entry
        for _, entry in registry.members()
        if isinstance(entry.card, MemberCard)
        and (entry.card.id == target or normalised(target) in names_of(entry))
    ]
    aside = [row for row in registry.quarantined if normalised(target) in names_of(row)]
    if aside:
        raise PluginError(
            f"All of plugin {target!r} must be let in to be checked, but it is set aside "
            f"({aside[0].stage}): {aside[0].reason} {aside[0].hint}"
        )
    if not found:
        try:
            found = [registry.resolved(target)]
        except UsageError as error:
            raise UsageError(
                f"plugins check must be given the id of a backbone, head, freeze strategy, "
                f"ranker or modality, or the name of a plugin that offers some, but got "
                f"{target!r}: {error}"
            ) from None
    return [subject(registry, entry, seed) for entry in found]


def subject(registry: Registry, entry: Entry[MemberCard], seed: int = 0) -> Subject:
    """A member with its weights, if they are on this machine."""
    return Subject(
        card=entry.card,
        registry=registry,
        weights=weights_here(registry, entry.card),
        distribution=entry.distribution,
        seed=seed,
    )


def weights_here(registry: Registry, card: MemberCard) -> LocalWeights | None:
    """A backbone's weights, without a download; None where they are not on this machine."""
    if not isinstance(card, BackboneCard):
        return None
    try:
        return registry.find_weights(card.weights, offline=True)
    except WeightsUnavailableError:
        return None
