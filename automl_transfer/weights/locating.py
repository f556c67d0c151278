"""The order in which the sources of a card are looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from automl_transfer.cards import WeightsCard
from automl_transfer.checksum import sha256_of
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import WeightsUnavailableError
from automl_transfer.weights import download, places
from automl_transfer.weights.places import NotThere
from automl_transfer.weights.probe import HubProbe

_Place = tuple[str, Callable[[], Path]]


def locate(card: WeightsCard, *, offline: bool, hub: HubProbe) -> LocalWeights:
    """Finds, or downloads, the weights of ``card``.

    Looked for in this order, whatever the order of the sources: installed packages, local
    directories, local caches, the network. Sources of one kind keep their order.

    Args:
        card: What to look for.
        offline: Stay away from the network.
        hub: Knows which hosts answer. Pass the same one for every card.

    Raises:
        WeightsUnavailableError: They are in none of the places; the text says why, for each.
        CardError: A source has no known form.
    """
    failures: list[str] = []
    hints: list[str] = []
    for source, find in _places(card, offline, hub):
        try:
            path = find()
            return LocalWeights(path=path, source=source, sha256=_checked(path, source, card))
        except NotThere as failure:
            failures.append(f"{source}: {failure.reason}")
            if failure.hint is not None and failure.hint not in hints:
                hints.append(failure.hint)
    raise WeightsUnavailableError(_text(failures, hints))


def hub_file(repo: str, revision: str | None, name: str, *, offline: bool, hub: HubProbe) -> Path:
    """One file of a repository of the hub, from its cache or the network.

    Raises:
        WeightsUnavailableError: It is in neither.
    """
    cached = places.cached_hub_file(repo, revision, name)
    if cached is not None:
        return cached
    missing = NotThere(f"no {name} of it in the cache {places.hub_cache()}")
    try:
        if offline:
            raise _offline()
        return download.hub_download(repo, revision, name, hub)
    except NotThere as failure:
        failures = [f"hf:{repo}: {missing.reason}", f"hf:{repo}: {failure.reason}"]
        hints = [failure.hint] if failure.hint else []
        raise WeightsUnavailableError(_text(failures, hints)) from failure


def _places(card: WeightsCard, offline: bool, hub: HubProbe) -> Iterator[_Place]:
    sources = [places.parse(text) for text in card.sources]
    for source in sources:
        if source.kind == "package":
            yield source.text, partial(places.in_package, source.where, card.requires)
    for source in sources:
        if source.kind == "dir":
            yield source.text, partial(places.in_directory, source.where)
    remote = [source for source in sources if source.kind in {"hf", "url"}]
    for source in remote:
        look = places.in_hub_cache if source.kind == "hf" else places.in_torch_cache
        yield source.text, partial(look, source.where)
    for source in remote:
        yield source.text, partial(_fetch, source, card.sha256, offline, hub)


def _fetch(source: places.Source, sha256: str | None, offline: bool, hub: HubProbe) -> Path:
    if offline:
        raise _offline()
    if source.kind == "hf":
        return download.hub_snapshot(source.where, hub)
    return download.url_download(source.where, sha256, hub)


def _offline() -> NotThere:
    return NotThere("not downloaded, because the search is offline", "drop --offline")


def _checked(path: Path, source: str, card: WeightsCard) -> str:
    tensors = places.tensor_file(path)
    try:
        found = sha256_of(tensors)
    except OSError as error:
        raise NotThere(f"{tensors.name} cannot be read ({error.strerror})") from error
    expected = card.sha256
    if expected is None and source.startswith("url:"):
        expected = download.hash_in_name(source)
    if expected is not None and not found.startswith(expected.lower()):
        raise NotThere(
            f"the SHA-256 of {tensors} must begin with {expected}, but it is {found}",
            "delete the damaged file and run again",
        )
    return found


def _text(failures: list[str], hints: list[str]) -> str:
    steps = f" Next step: {'; or '.join(hints)}." if hints else ""
    return (
        "Pretrained weights must be in one of the places that are looked at, but they are in "
        f"none. {'; '.join(failures)}.{steps}"
    )
