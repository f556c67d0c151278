"""Finds the installed plugins and lets each in, or sets it aside with the reason."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import pluggy
from pluggy import PluginValidationError

from automl_transfer import __version__, hookspecs
from automl_transfer.entries import (
    OURS,
    Loaded,
    Origin,
    Quarantine,
    Sources,
    Stage,
    names_of,
    normalised,
    set_aside,
)
from automl_transfer.errors import PluginError, UsageError, did_you_mean
from automl_transfer.gather import HookCalls
from automl_transfer.hookspecs import API, GROUP
from automl_transfer.registry import Registry
from automl_transfer.requirements import Unmet, unmet

DISABLE = "AUTOML_TRANSFER_DISABLE_PLUGINS"
"""Environment variable: comma-separated names of distributions or entry points to leave out."""

NO_PLUGINS = "AUTOML_TRANSFER_NO_PLUGINS"
"""Environment variable: ``1`` leaves out every plugin but the built-in one."""

ONLY = "AUTOML_TRANSFER_PLUGINS"
"""Environment variable: comma-separated names; if set, other installed plugins are left out."""

STRICT = "AUTOML_TRANSFER_STRICT_PLUGINS"
"""Environment variable: ``1`` makes an error of what would be set aside."""

PREFER = "AUTOML_TRANSFER_PREFER_PLUGINS"
"""Environment variable: comma-separated ``id=distribution``, who provides what several offer."""


def load_registry(
    *,
    disabled: Collection[str] = (),
    extra: Sequence[object] = (),
    builtin: bool = True,
    third_party: bool = True,
    strict: bool | None = None,
) -> Registry:
    """Lets in the built-in plugin, the installed ones and those of ``extra``.

    A plugin that fails is set aside (:attr:`Registry.quarantined`); nothing is printed.

    Args:
        disabled: Names of distributions or entry points to leave out, besides those in the
            environment variable :data:`DISABLE`.
        extra: Plugin modules or objects that are not installed, for tests and notebooks.
        builtin: Whether to offer the parts that we ship.
        third_party: Whether to look for installed plugins.
        strict: Whether a plugin that is set aside is an error; None: as :data:`STRICT` says.

    Raises:
        PluginError: ``strict``, and a plugin was set aside.
        UsageError: :data:`PREFER` cannot be read.
    """
    prefer = _preferred()
    door = _Door()
    remarks: list[str] = []
    if builtin:
        door.admit(
            Origin(
                distribution=OURS,
                version=__version__,
                plugin="builtin",
                first_party=True,
            ),
            _builtin_plugin,
        )
    if third_party:
        barred = {normalised(name) for name in (*disabled, *_names_in(DISABLE))}
        wanted = {normalised(name) for name in _names_in(ONLY)}
        # Several plugins need the same packages, and each look reads a file.
        installed = functools.cache(version)
        known: set[str] = set()
        for origin, point, requires in _installed():
            names = names_of(origin)
            known |= names
            if hint := _how_to_let_in(names, barred, wanted):
                door.refused.append(
                    set_aside(origin, "disabled", "It is switched off.", hint=hint)
                )
            elif missing := unmet(requires, installed):
                door.refused.append(_without(origin, missing))
            else:
                door.admit(origin, point.load)
        remarks = [
            f"{variable} names {name!r}, but no plugin that is installed is called so"
            f"{did_you_mean(name, known) or '.'}"
            for variable, given in ((DISABLE, barred), (ONLY, wanted), (PREFER, prefer.values()))
            for name in sorted(set(given) - known)
        ]
    for plugin in extra:
        door.admit(_origin_of(plugin), lambda plugin=plugin: plugin)
    sources = Sources(
        disabled=tuple(disabled), extra=tuple(extra), builtin=builtin, third_party=third_party
    )
    registry = Registry(
        HookCalls(door.manager, door.origins, prefer),
        door.refused,
        sources,
        door.loaded,
        remarks,
    )
    if _is_set(STRICT) if strict is None else strict:
        troubles = registry.troubles()
        if troubles:
            raise PluginError("\n".join(["No plugin may be set aside, but:", *troubles]))
    return registry


class _Manager(pluggy.PluginManager):
    """Refuses what pluggy would pass over in silence: hooks that are misspelt or unmarked."""

    def __init__(self) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self._known = frozenset(vars(self.hook))
        self._found = 0

    def let_in(self, plugin: object, name: str) -> None:
        """Registers a plugin, if it has a hook.

        Raises:
            PluginError: It has none, or one that cannot be called.
        """
        self._found = 0
        self.register(plugin, name=name)
        if not self._found:
            self.unregister(plugin)
            raise PluginError(
                f"It implements no hook: {plugin!r:.100} has no function marked with @hookimpl.",
            )

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """What the attribute ``name`` says of itself as a hook, or None.

        Raises:
            PluginError: It is no hook that can be called.
        """
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None:
            if name in self._known:
                raise PluginError(f"{name} must be marked with @hookimpl.")
            return None
        hook = options.get("specname") or name
        if hook not in self._known:
            raise PluginError(f"There is no hook {hook!r}.{did_you_mean(hook, self._known)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{name} must not be a wrapper: hooks are called alone.")
        self._found += 1
        return options


class _Door:
    def __init__(self) -> None:
        self.manager = _Manager()
        self.origins: dict[str, Origin] = {}
        self.refused: list[Quarantine] = []
        self.loaded: list[Loaded] = []

    def admit(self, origin: Origin, load: Any) -> None:
        """Loads and registers one plugin, or notes why not."""
        name = f"{origin.distribution}:{origin.plugin}"
        while name in self.origins:
            name += "+"
        stage: Stage = "import"
        started = time.perf_counter()
        try:
            plugin = load()
            seconds = time.perf_counter() - started
            stage = "contract"
            _check_api(plugin)
            stage = "hooks"
            self.manager.let_in(plugin, name)
        except (Exception, SystemExit) as error:
            ours = stage != "import" and isinstance(error, (PluginError, PluginValidationError))
            self.refused.append(set_aside(origin, stage, str(error) if ours else error))
        else:
            self.origins[name] = origin
            self.loaded.append(Loaded(origin=origin, seconds=seconds))


def _builtin_plugin() -> object:
    # Imported here so that a member of ours that cannot be imported is set aside like any other.
    from automl_transfer import builtin

    return builtin


def _check_api(plugin: Any) -> None:
    stated = getattr(plugin, "AUTOML_TRANSFER_API", API)
    if (
        not isinstance(stated, tuple)
        or len(stated) != len(API)
        or not all(isinstance(number, int) for number in stated)
    ):
        raise PluginError(
            f"AUTOML_TRANSFER_API must be a pair like {API}, but got {stated!r:.80}."
        )
    if stated[0] != API[0] or stated > API:
        raise PluginError(
            f"It is written for plug-in contract {stated[0]}.{stated[1]}, but automl-transfer "
            f"{__version__} has {API[0]}.{API[1]}.",
        )


def _installed() -> list[tuple[Origin, EntryPoint, list[str]]]:
    """Entry points of our group, with what their distributions require; ``entry_points`` leaves
    out shadowed distributions."""
    found = []
    for point in entry_points(group=GROUP):
        # Parsed each time that it is asked for.
        metadata = point.dist.metadata if point.dist is not None else None
        name, number = (
            (metadata["Name"], metadata["Version"]) if metadata is not None else (None, None)
        )
        requires = metadata.get_all("Requires-Dist") if metadata is not None else None
        if requires is None and point.dist is not None:
            requires = point.dist.requires  # of an egg, which has them elsewhere
        origin = Origin(distribution=name or "unknown", version=number or "", plugin=point.name)
        found.append((origin, point, list(requires or [])))
    return sorted(found, key=lambda one: (normalised(one[0].distribution), one[1].name))


def _how_to_let_in(names: Collection[str], barred: set[str], wanted: set[str]) -> str:
    """What to do about the setting that leaves out a plugin of these names; empty if none does."""
    if _is_set(NO_PLUGINS):
        return f"To let it in, unset {NO_PLUGINS}, or leave out --no-plugins."
    if barred.intersection(names):
        return f"To let it in, take it out of {DISABLE}, or leave out --disable-plugin."
    if wanted and wanted.isdisjoint(names):
        return f"To let it in, add it to {ONLY}."
    return ""


def _without(origin: Origin, missing: Sequence[Unmet]) -> Quarantine:
    install = "; ".join(dict.fromkeys(one.install for one in missing))
    return set_aside(
        origin,
        "requirements",
        f"It {' and '.join(one.text for one in missing)}.",
        hint=f"Run: {install}.",
    )


def _names_in(variable: str) -> list[str]:
    return [name for part in os.environ.get(variable, "").split(",") if (name := part.strip())]


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def _preferred() -> dict[str, str]:
    """Who is to provide an id that several offer, by :data:`PREFER`."""
    found = {}
    for text in _names_in(PREFER):
        id, equals, distribution = (part.strip() for part in text.partition("="))
        if not (id and equals and distribution):
            raise UsageError(
                f"{PREFER} must be a list like 'acme/net=acme-transfer', but has {text!r}."
            )
        found[id] = normalised(distribution)
    return found


def _origin_of(plugin: object) -> Origin:
    name = str(getattr(plugin, "__name__", type(plugin).__name__))
    version = str(getattr(plugin, "__version__", ""))
    return Origin(distribution=name, version=version, plugin=name)
