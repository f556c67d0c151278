"""Calls the hooks of plugins one by one, so that none can spoil what the others return."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pluggy

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
from automl_transfer.entries import (
    AnyCard,
    CardT,
    Entry,
    Origin,
    Quarantine,
    Stage,
    names_of,
    set_aside,
)
from automl_transfer.errors import AutomlTransferError, CardError
from automl_transfer.jsonable import require_json

FIRST_PARTY_NAMESPACES = ("bundled/", "timm/", "torchvision/", "hf/", "local:")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[CardT]):
    """A kind of member."""

    name: str
    """``heads``."""
    singular: str
    """``head``."""
    word: str
    """What people call one."""
    hook: str
    card: type[CardT]
    namespaced: bool = True
    """Whether a third party's id needs a namespace: bare ids are ours to add to."""

    def named(self, id: str) -> str:
        """A member, in words: ``the head 'acme/layer'``."""
        return f"the {self.word} {id!r}"


MODALITIES = Kind(
    name="modalities",
    singular="modality",
    word="modality",
    hook="automl_transfer_modalities",
    card=ModalityCard,
    namespaced=False,
)
BACKBONES = Kind(
    name="backbones",
    singular="backbone",
    word="backbone",
    hook="automl_transfer_backbones",
    card=BackboneCard,
)
HEADS = Kind(
    name="heads", singular="head", word="head", hook="automl_transfer_heads", card=HeadCard
)
STRATEGIES = Kind(
    name="strategies",
    singular="strategy",
    word="freeze strategy",
    hook="automl_transfer_freeze_strategies",
    card=StrategyCard,
)
RANKERS = Kind(
    name="rankers",
    singular="ranker",
    word="ranker",
    hook="automl_transfer_rankers",
    card=RankerCard,
)
SAMPLERS = Kind(
    name="samplers",
    singular="sampler",
    word="sampler",
    hook="automl_transfer_samplers",
    card=SamplerCard,
)
PRUNERS = Kind(
    name="pruners",
    singular="pruner",
    word="pruner",
    hook="automl_transfer_pruners",
    card=PrunerCard,
)
SAMPLE_DATA = Kind(
    name="sample_data",
    singular="sample_data",
    word="sample data set",
    hook="automl_transfer_sample_data",
    card=SampleDataCard,
    namespaced=False,
)


def is_reserved(id: str) -> bool:
    """Whether ``id`` is in one of the namespaces of the parts that we ship."""
    return "/" not in id or id.startswith(FIRST_PARTY_NAMESPACES)


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[T]):
    """What one plugin answered: a value, or an error that it raised on purpose."""

    origin: Origin
    value: T | None = None
    refusal: AutomlTransferError | None = None


class HookCalls:
    """The hooks of the registered plugins; what goes wrong in them is kept in ``failures``."""

    def __init__(
        self,
        manager: pluggy.PluginManager,
        origins: Mapping[str, Origin],
        prefer: Mapping[str, str] | None = None,
    ) -> None:
        """Calls nothing yet.

        Args:
            manager: With the plugins registered.
            origins: Of each, by the name under which it is registered.
            prefer: The distribution, normalised, that provides an id which several offer.
        """
        self._manager = manager
        self._origins = origins
        self._prefer = dict(prefer or {})
        self.failures: list[Quarantine] = []

    def _fail(
        self, origin: Origin, stage: Stage, error: BaseException | str, ids: tuple[str, ...] = ()
    ) -> None:
        row = set_aside(origin, stage, error, ids)
        if row not in self.failures:
            self.failures.append(row)

    def each(
        self,
        hook: str,
        finish: Callable[[Origin, Any], T],
        *,
        about: tuple[str, ...] = (),
        only: Callable[[Origin], bool] = lambda origin: True,
        meant: tuple[type[AutomlTransferError], ...] = (),
        **arguments: Any,
    ) -> list[Answer[T]]:
        """Calls every implementation of ``hook``, in the order of registration.

        Args:
            hook: Name of the hook.
            finish: Checks and converts what was returned; also isolated.
            about: Ids that a failure concerns.
            only: Which origins are asked.
            meant: Errors by which a plugin answers; any other is a failure of the plugin.
            **arguments: Those of the hook; an implementation gets the ones that it names.
        """
        answers = []
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            origin = self._origins[impl.plugin_name]
            if not only(origin):
                continue
            try:
                value = finish(origin, impl.function(*(arguments[name] for name in impl.argnames)))
            except meant as error:
                answers.append(Answer[T](origin=origin, refusal=error))
            except (Exception, SystemExit) as error:
                stage: Stage = "card" if isinstance(error, CardError) else "call"
                self._fail(origin, stage, f"{hook}: {type(error).__name__}: {error}", about)
            else:
                answers.append(Answer(origin=origin, value=value))
        return answers

    def cards(
        self, kind: Kind[CardT], hook: str | None = None, **arguments: Any
    ) -> list[Entry[CardT]]:
        """The valid cards of one kind that plugins return; each invalid one is set aside alone."""
        entries: list[Entry[CardT]] = []
        for answer in self.each(hook or kind.hook, _as_list, **arguments):
            for card in answer.value or ():
                try:
                    entries.append(entry(kind, answer.origin, card))
                except CardError as error:
                    ids = (card.id,) if isinstance(getattr(card, "id", None), str) else ()
                    self._fail(answer.origin, "card", str(error), ids)
        return entries

    def gather(self, kind: Kind[CardT]) -> dict[str, Entry[CardT]]:
        """The members of one kind by id, sorted. An id that two plugins give goes to neither."""
        found: dict[str, list[Entry[CardT]]] = defaultdict(list)
        for item in self.cards(kind):
            found[item.card.id].append(item)
        origins = {(o.distribution, o.plugin): o for o in self._origins.values()}
        members = {}
        for id, items in sorted(found.items()):
            if len(items) == 1:
                members[id] = items[0]
                continue
            by = [origins[item.distribution, item.plugin] for item in items]
            chosen = [item for item in items if self._prefer.get(id) in names_of(item)]
            if len(chosen) == 1:
                members[id] = chosen[0]
                continue
            ours = [item for item, origin in zip(items, by, strict=True) if origin.first_party]
            if len(ours) == 1:
                members[id] = ours[0]
            self._refuse_duplicates(kind, id, by)
        return members

    def _refuse_duplicates(self, kind: Kind[CardT], id: str, by: list[Origin]) -> None:
        keeper = next((origin for origin in by if origin.first_party), None)
        for origin in dict.fromkeys(by):
            if origin is keeper:
                continue
            names = " and ".join(dict.fromkeys(other.text for other in by))
            rest = "the built-in one is used" if keeper else "neither is used"
            reason = (
                f"The {kind.word} {id!r} is given {len(by)} times, by {names}; {rest}. Choose one "
                f"with AUTOML_TRANSFER_PREFER_PLUGINS={id}={origin.distribution}."
            )
            self._fail(origin, "duplicate", reason, (id,))


def entry(kind: Kind[CardT], origin: Origin, card: Any) -> Entry[CardT]:
    """Checks a card and attributes it.

    Raises:
        CardError: It is no card of that kind, no JSON, or has an id that is not the plugin's.
    """
    checked = check_card(kind, origin, card)
    return Entry(
        card=checked,
        distribution=origin.distribution,
        version=origin.version,
        plugin=origin.plugin,
    )


def check_card(kind: Kind[CardT], origin: Origin, card: Any) -> CardT:
    """Returns ``card`` if ``origin`` may provide it."""
    if not isinstance(card, kind.card):
        raise CardError(
            f"{kind.hook} must return {kind.card.__name__} objects, but got {card!r:.80}."
        )
    if not origin.first_party and (
        card.id.startswith(FIRST_PARTY_NAMESPACES) or (kind.namespaced and "/" not in card.id)
    ):
        raise CardError(
            f"A plugin's {kind.word} has an id with its own namespace, like 'acme/name', "
            f"but got {card.id!r}: ids without '/' and those that begin with "
            f"{', '.join(FIRST_PARTY_NAMESPACES)} are reserved."
        )
    try:
        require_json(card)
    except (TypeError, ValueError) as error:
        raise CardError(
            f"A card holds JSON values only, but {card.id!r} does not ({error})."
        ) from error
    return card


def _as_list(origin: Origin, value: Any) -> list[AnyCard]:
    if value is None or isinstance(value, (str, bytes)) or hasattr(value, "factory"):
        raise CardError(f"The hook must return a list of cards, but got {value!r:.80}.")
    return list(value)
