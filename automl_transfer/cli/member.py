"""What ``plugins info`` tells of a member."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from automl_transfer.cards import BackboneCard, HeadCard
from automl_transfer.entries import Entry, one_line
from automl_transfer.errors import AutomlTransferError, UsageError
from automl_transfer.jsonable import to_json
from automl_transfer.registry import Registry
from automl_transfer.report.blocks import Block, Facts, Heading, Table, columns
from automl_transfer.space import Choice, Param

READS = {
    "features": "the features of a backbone",
    "stages": "the features of a frozen backbone and the pooled outputs of its stages",
}


def members(registry: Registry, id: str) -> list[tuple[str, Entry[Any]]]:
    """Members of an id, of whatever kind: the word for the kind, and the entry.

    Raises:
        UsageError: Nobody offers it.
        PluginError: The plugin that offers it is set aside.
    """
    found: list[tuple[str, Entry[Any]]] = [
        (word, entry) for word, entry in registry.members() if entry.card.id == id
    ]
    if found:
        return found
    try:
        return [("backbone", registry.resolved(id))]
    except UsageError as error:
        raise UsageError(
            f"plugins info must be given the id of a member, but got {id!r}: {error} "
            "`plugins list` has all that are listed."
        ) from None


def described(registry: Registry, word: str, entry: Entry[Any]) -> dict[str, Any]:
    """A member for programs: provider, card, and of a backbone its stages and weights."""
    card = entry.card
    found = {"kind": word, "provider": entry.provider, "card": to_json(card)}
    if isinstance(card, BackboneCard):
        found["weights"] = _weights(registry, card)
        found["stages"] = _stages(registry, card)
    return found


def blocks(found: dict[str, Any], card: Any) -> Iterator[Block]:
    """The same for people."""
    yield Heading(text=f"{found['kind']} {card.id}")
    facts = [("provided by", found["provider"]), ("factory", card.factory)]
    for name, value in (("what", "summary"), ("title", "title"), ("licence", "license")):
        if getattr(card, value, ""):
            facts.append((name, str(getattr(card, value))))
    if hasattr(card, "kinds"):
        facts.append(("targets", ", ".join(card.kinds)))
    if isinstance(card, HeadCard):
        facts.append(("reads", READS[card.reads]))
    if isinstance(card, BackboneCard):
        facts += _of_backbone(found, card)
    yield Facts(items=tuple(facts))
    params: tuple[Param, ...] = getattr(card, "space", ())
    if params:
        yield Table(
            columns=columns("hyper-parameter", "values", "default", "only when"),
            rows=tuple((one.name, _values(one), f"{one.default}", _when(one)) for one in params),
        )


def _of_backbone(found: dict[str, Any], card: BackboneCard) -> Iterator[tuple[str, str]]:
    weights, stages = found["weights"], found["stages"]
    yield "modality", card.modality
    yield "family", card.family
    if card.cost is not None:
        yield "parameters", f"{card.cost.params:,}"
    if card.features.width is not None:
        yield "features", f"{card.features.width} a sample"
    yield "licence of the weights", card.weights.license or "not known"
    if card.weights.pretrained_on:
        yield "pretrained on", card.weights.pretrained_on
    yield "sources of the weights", ", ".join(card.weights.sources)
    yield (
        "weights here",
        f"yes, {weights['path']}" if weights["here"] else f"no: {weights['reason']}",
    )
    named = stages["names"]
    yield "stages", ", ".join(named) if named else f"not known: {stages['reason']}"


def _weights(registry: Registry, card: BackboneCard) -> dict[str, Any]:
    """Whether they are on this machine."""
    try:
        there = registry.find_weights(card.weights, offline=True)
    except AutomlTransferError as error:
        return {"here": False, "reason": str(error)}
    return {"here": True, "path": str(there.path), "source": there.source, "sha256": there.sha256}


def _stages(registry: Registry, card: BackboneCard) -> dict[str, Any]:
    """Names of the stages, from the card or from the network, built with random weights."""
    if card.stages:
        return {"names": [stage.name for stage in card.stages]}
    from automl_transfer.training.stages import stages_of

    try:
        network = registry.load(card)(card=card, weights=None, seed=0)
        return {"names": [stage.name for stage in stages_of(network, card)]}
    except (Exception, SystemExit) as error:  # a network may need its weights' description
        return {"names": [], "reason": one_line(error)}


def _values(param: Param) -> str:
    if isinstance(param, Choice):
        return ", ".join(map(str, param.choices))
    return f"{param.low} to {param.high}" + (", logarithmic" if param.log else "")


def _when(param: Param) -> str:
    if param.when is None:
        return ""
    return f"{param.when.parameter} is {' or '.join(map(str, param.when.equals))}"
