"""Every member that plugins offer, by id, with who provides it, and what was set aside.

Nothing heavy is imported until :meth:`Registry.load` is asked for a factory.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from automl_transfer.cards import (
    PORTFOLIOS,
    BackboneCard,
    HeadCard,
    ModalityCard,
    PrunerCard,
    RankerCard,
    SampleDataCard,
    SamplerCard,
    StrategyCard,
    WeightsCard,
)
from automl_transfer.entries import (
    AnyCard,
    CardT,
    Entry,
    Loaded,
    Origin,
    Quarantine,
    Sources,
    one_line,
)
from automl_transfer.errors import (
    PluginError,
    UsageError,
    WeightsUnavailableError,
    did_you_mean,
    staying,
)
from automl_transfer.gather import (
    BACKBONES,
    HEADS,
    MODALITIES,
    PRUNERS,
    RANKERS,
    SAMPLE_DATA,
    SAMPLERS,
    STRATEGIES,
    HookCalls,
    Kind,
    entry,
    is_reserved,
)
from automl_transfer.jsonable import digest, to_json

if TYPE_CHECKING:
    from automl_transfer.contracts import LocalWeights
    from automl_transfer.events import Event
    from automl_transfer.task import Task
    from automl_transfer.weights import HubProbe

__all__ = ["Entry", "KindName", "Quarantine", "Registry"]

KindName = Literal[
    "modalities",
    "modality",
    "backbones",
    "backbone",
    "heads",
    "head",
    "strategies",
    "strategy",
    "rankers",
    "ranker",
    "samplers",
    "sampler",
    "pruners",
    "pruner",
    "sample_data",
]
"""A kind of member, in the plural as the mappings are named or in the singular."""


_KINDS: tuple[Kind[AnyCard], ...] = (
    MODALITIES,
    BACKBONES,
    HEADS,
    STRATEGIES,
    RANKERS,
    SAMPLERS,
    PRUNERS,
    SAMPLE_DATA,
)
_MOST_LISTED = 12
_DEFAULT = Sources()


class Registry:
    """What the plugins offer. Made by :func:`automl_transfer.plugins.load_registry`."""

    modalities: Mapping[str, Entry[ModalityCard]]
    backbones: Mapping[str, Entry[BackboneCard]]
    """Those that are listed; a family too large to list is asked through :meth:`backbone`."""
    heads: Mapping[str, Entry[HeadCard]]
    strategies: Mapping[str, Entry[StrategyCard]]
    rankers: Mapping[str, Entry[RankerCard]]
    samplers: Mapping[str, Entry[SamplerCard]]
    pruners: Mapping[str, Entry[PrunerCard]]
    sample_data: Mapping[str, Entry[SampleDataCard]]

    def __init__(
        self,
        calls: HookCalls,
        set_aside: Sequence[Quarantine] = (),
        sources: Sources = _DEFAULT,
        loaded: Sequence[Loaded] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        """Asks every plugin for its cards.

        Args:
            calls: The hooks of the registered plugins.
            set_aside: Plugins that could not be registered.
            sources: Where they were looked for.
            loaded: Plugins that were let in.
            remarks: What else people should be told.
        """
        self.sources = sources
        self.loaded = tuple(loaded)
        self.remarks = tuple(remarks)
        self._calls = calls
        self._set_aside = tuple(set_aside)
        self._resolved: dict[str, Entry[BackboneCard]] = {}
        self._deaf: set[tuple[str, str]] = set()
        self.modalities = calls.gather(MODALITIES)
        self.backbones = calls.gather(BACKBONES)
        self.heads = calls.gather(HEADS)
        self.strategies = calls.gather(STRATEGIES)
        self.rankers = calls.gather(RANKERS)
        self.samplers = calls.gather(SAMPLERS)
        self.pruners = calls.gather(PRUNERS)
        self.sample_data = calls.gather(SAMPLE_DATA)
        self._told = len(calls.failures)

    @property
    def quarantined(self) -> tuple[Quarantine, ...]:
        """Plugins and parts of plugins that are left out; grows when a later call fails."""
        return (*self._set_aside, *self._calls.failures)

    @property
    def digest(self) -> str:
        """Changes when a listed member, or the distribution that provides it, does."""
        return digest(
            [
                [kind.name, id, item.distribution, item.version, to_json(item.card)]
                for kind in _KINDS
                for id, item in self._listed(kind).items()
            ]
        )

    @property
    def inventory(self) -> dict[str, str]:
        """Each listed member, in words, with who provides it and a digest of its card."""
        return {
            kind.named(id): f"{item.provider}, card {digest(to_json(item.card), 8)}"
            for kind in _KINDS
            for id, item in self._listed(kind).items()
        }

    def differences(self, inventory: Mapping[str, str]) -> list[str]:
        """How the :attr:`inventory` of another process differs from this one, in words."""
        ours, gone = self.inventory, "missing"
        return [
            f"{name} is {ours.get(name, gone)} here and {inventory.get(name, gone)} there"
            for name in sorted(ours.keys() | inventory.keys())
            if ours.get(name) != inventory.get(name)
        ]

    def warnings(self) -> list[str]:
        """One line for each plugin of which something was set aside, and for each that takes long
        to import; for standard error."""
        slow = [
            f"Plugin {one.origin.plugin} ({one.origin.text}) took {one.seconds:.1f} s to import, "
            "for which every command waits; its module should import nothing heavy."
            for one in self.loaded
            if one.is_slow and not one.origin.first_party
        ]
        return self.troubles() + slow + list(self.remarks)

    def troubles(self) -> list[str]:
        """One line for each plugin of which something was set aside."""
        rows: dict[tuple[str, str], list[Quarantine]] = {}
        for row in self.quarantined:
            if row.stage != "disabled":
                rows.setdefault((row.distribution, row.plugin), []).append(row)
        let_in = {(one.origin.distribution, one.origin.plugin) for one in self.loaded}
        return [
            f"Plugin {plugin} ({first.provider}) is set aside"
            + (", in part" if (distribution, plugin) in let_in else "")
            + f": {first.reason}"
            + (f" (and {len(more)} more)" if more else "" if first.reason[-1:] in ".!?" else ".")
            + f" {first.hint}"
            for (distribution, plugin), (first, *more) in rows.items()
        ]

    def members(self) -> Iterator[tuple[str, Entry[AnyCard]]]:
        """All listed members, each with what people call its kind: ``head``, ``sample data``."""
        for kind in _KINDS:
            for item in self._listed(kind).values():
                yield kind.singular.replace("_", " "), item

    # Members by id -----------------------------------------------------------------------------

    def modality(self, id: str) -> ModalityCard:
        """The modality ``id``; errors as :meth:`head`."""
        return self._member(MODALITIES, id).card

    def head(self, id: str) -> HeadCard:
        """The head ``id``.

        Raises:
            UsageError: Nobody offers it.
            PluginError: The plugin that offers it is set aside.
        """
        return self._member(HEADS, id).card

    def strategy(self, id: str) -> StrategyCard:
        """The freeze strategy ``id``; errors as :meth:`head`."""
        return self._member(STRATEGIES, id).card

    def ranker(self, id: str) -> RankerCard:
        """The ranker ``id``; errors as :meth:`head`."""
        return self._member(RANKERS, id).card

    def sampler(self, id: str) -> SamplerCard:
        """The sampler ``id``; errors as :meth:`head`."""
        return self._member(SAMPLERS, id).card

    def pruner(self, id: str) -> PrunerCard:
        """The pruner ``id``; errors as :meth:`head`."""
        return self._member(PRUNERS, id).card

    def sample(self, id: str) -> SampleDataCard:
        """The sample data set ``id``; errors as :meth:`head`."""
        return self._member(SAMPLE_DATA, id).card

    def backbone(self, id: str) -> BackboneCard:
        """The backbone ``id``: a listed one, or one that a plugin resolves; then remembered.

        Raises:
            UsageError: Nobody knows it, or the plugin that does says that it is wrong.
            PluginError: Two plugins claim it, or the one that offers it is set aside.
            WeightsUnavailableError: What describes it cannot be had.
        """
        return self._backbone(id).card

    def provider(self, kind: KindName, id: str) -> str:
        """The distribution and version that provide a member: ``acme-transfer 1.2``."""
        wanted = _kind(kind)
        found = self._listed(wanted).get(id)
        if found is None and wanted is BACKBONES:
            return self._backbone(id).provider
        return (found or self._member(wanted, id)).provider

    def resolved(self, id: str) -> Entry[BackboneCard]:
        """The backbone ``id`` with who provides it; errors as :meth:`backbone`."""
        return self._backbone(id)

    def remember(self, item: Entry[BackboneCard]) -> None:
        """Takes a backbone as :meth:`resolved` gave it in another process with these plugins."""
        self._resolved[item.card.id] = item

    def load(self, card: AnyCard) -> Callable[..., Any]:
        """Imports the factory of a card.

        Returns:
            The factory. When it is called it may raise anything but SystemExit.

        Raises:
            PluginError: It cannot be imported.
        """
        module, _, name = card.factory.partition(":")
        try:
            factory = getattr(importlib.import_module(module), name)
        except (Exception, SystemExit) as error:
            raise PluginError(self._factory_trouble(card, one_line(error))) from error
        if not callable(factory):
            raise PluginError(self._factory_trouble(card, "it is not callable"))

        @functools.wraps(factory)
        def called(*arguments: Any, **named: Any) -> Any:
            with staying(f"The factory {card.factory!r} of {card.id!r}"):
                return factory(*arguments, **named)

        return called

    # Answers and observers ---------------------------------------------------------------------

    def portfolio(self, size: str, modality: str) -> list[BackboneCard]:
        """The default backbones of a size for a modality, ours first; they are remembered.

        Raises:
            UsageError: There is no such size.
        """
        if size not in PORTFOLIOS:
            raise UsageError(
                f"A portfolio is one of {', '.join(PORTFOLIOS)}, but got {size!r}."
                + did_you_mean(size, PORTFOLIOS)
            )
        chosen: dict[str, Entry[BackboneCard]] = {}
        for item in self._calls.cards(
            BACKBONES, "automl_transfer_portfolio", size=size, modality=modality
        ):
            if item.card.modality == modality:
                chosen.setdefault(item.card.id, item)
        self._resolved.update(chosen)
        return [item.card for item in chosen.values()]

    def veto(self, backbone: BackboneCard, task: Task) -> str | None:
        """The first reason that a plugin gives not to try ``backbone``, or None."""

        def reason(origin: Origin, value: Any) -> str | None:
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise TypeError(f"a veto is a reason in words or None, but got {value!r:.80}")
            return value

        answers = self._calls.each(
            "automl_transfer_veto", reason, about=(backbone.id,), backbone=backbone, task=task
        )
        self._warn_of_late_failures()
        vetoes = [f"{one_line(a.value)} ({a.origin.text})" for a in answers if a.value]
        return vetoes[0] if vetoes else None

    def locate_weights(self, weights: WeightsCard, offline: bool) -> LocalWeights | None:
        """Weights that a plugin has on this machine, or None."""
        from automl_transfer.contracts import LocalWeights

        def located(origin: Origin, value: Any) -> LocalWeights | None:
            if value is None:
                return None
            if not isinstance(value, LocalWeights) or not value.path.exists():
                raise TypeError(f"must return LocalWeights that exist, but got {value!r:.200}")
            return value

        answers = self._calls.each(
            "automl_transfer_locate_weights", located, weights=weights, offline=offline
        )
        self._warn_of_late_failures()
        return next((a.value for a in answers if a.value is not None), None)

    def find_weights(
        self, weights: WeightsCard, *, offline: bool, hub: HubProbe | None = None
    ) -> LocalWeights:
        """Weights that a plugin has, or else those in the places that their card names.

        Args:
            weights: What to look for.
            offline: Stay away from the network.
            hub: Knows which hosts answer; None: the one that the process shares.

        Raises:
            WeightsUnavailableError: Nobody has them, and they are in none of the places.
        """
        from automl_transfer.weights import locate, shared_probe

        own = self.locate_weights(weights, offline)
        return own or locate(weights, offline=offline, hub=hub or shared_probe())

    def notify(self, study: str, event: Event) -> None:
        """Hands an event to every observer; one that fails is told of, and not called again."""
        failed = len(self._calls.failures)
        self._calls.each(
            "automl_transfer_trial_event",
            lambda origin, value: None,
            only=lambda origin: (origin.distribution, origin.plugin) not in self._deaf,
            study=study,
            event=event,
        )
        for row in self._calls.failures[failed:]:
            self._deaf.add((row.distribution, row.plugin))
        self._warn_of_late_failures()

    # -------------------------------------------------------------------------------------------

    def _listed(self, kind: Kind[CardT]) -> Mapping[str, Entry[CardT]]:
        listed: Mapping[str, Entry[CardT]] = getattr(self, kind.name)
        return listed

    def _member(self, kind: Kind[CardT], id: str) -> Entry[CardT]:
        listed = self._listed(kind)
        if id not in listed:
            raise self._unknown(kind, id, listed)
        return listed[id]

    def _backbone(self, id: str) -> Entry[BackboneCard]:
        known = self.backbones.get(id) or self._resolved.get(id)
        if known is not None:
            return known

        def card(origin: Origin, value: Any) -> Entry[BackboneCard] | None:
            return None if value is None else entry(BACKBONES, origin, value)

        answers = self._calls.each(
            "automl_transfer_resolve_backbone",
            card,
            about=(id,),
            only=lambda origin: origin.first_party == is_reserved(id),
            meant=(UsageError, WeightsUnavailableError),
            id=id,
        )
        found = [a.value for a in answers if a.value is not None]
        if len(found) > 1:
            raise PluginError(
                f"A backbone has one provider, but {id!r} is claimed by "
                f"{' and '.join(item.provider for item in found)}. Disable one of them with "
                f"AUTOML_TRANSFER_DISABLE_PLUGINS."
            )
        if not found:
            refusals = [a.refusal for a in answers if a.refusal is not None]
            raise refusals[0] if refusals else self._unknown(BACKBONES, id, self.backbones)
        self._resolved[id] = self._resolved[found[0].card.id] = found[0]
        return found[0]

    def _unknown(
        self, kind: Kind[AnyCard], id: str, listed: Mapping[str, Entry[AnyCard]]
    ) -> UsageError | PluginError:
        rows = [row for row in self.quarantined if row.concerns(id)]
        if rows:
            row = rows[-1]
            return PluginError(
                f"The {kind.word} {id!r} cannot be used: plugin {row.plugin} ({row.provider}) is "
                f"set aside ({row.stage}): {row.reason} {row.hint}"
            )
        text = f"There is no {kind.word} {id!r}.{did_you_mean(id, listed)}{_known(listed)}"
        if kind is BACKBONES:
            text += (
                " A model of a family goes by its full name, like 'timm/resnet18.a1_in1k', "
                "'hf/facebook/dinov2-small' or 'local:PATH'."
            )
        return UsageError(text)

    def _factory_trouble(self, card: AnyCard, cause: str) -> str:
        kind = next(kind for kind in _KINDS if isinstance(card, kind.card))
        pool = {**self._resolved, **self._listed(kind)}
        owner = pool.get(card.id)
        provider = owner.provider if owner is not None else "an unknown plugin"
        return (
            f"The factory {card.factory!r} of the {kind.word} {card.id!r}, provided by "
            f"{provider}, cannot be loaded: {cause}. "
            "Reinstall or upgrade that plugin, or exclude the member."
        )

    def _warn_of_late_failures(self) -> None:
        # Those of the start are shown by whoever loaded the registry (`warnings`).
        for row in self._calls.failures[self._told :]:
            import logging  # which listing cards does not need

            logging.getLogger(__name__).warning(
                "Plugin %s (%s): %s", row.plugin, row.provider, row.reason
            )
        self._told = len(self._calls.failures)


def _kind(name: str) -> Kind[AnyCard]:
    for kind in _KINDS:
        if name in (kind.name, kind.singular):
            return kind
    names = [kind.name for kind in _KINDS]
    raise UsageError(f"A kind of member is one of {', '.join(names)}, but got {name!r}.")


def _known(listed: Mapping[str, Entry[AnyCard]]) -> str:
    names = list(listed)
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f" Known: {', '.join(names[:_MOST_LISTED]) or 'none'}{more}."
