"""Loads the plugins for a command."""

from __future__ import annotations

from automl_transfer.cli.streams import warn
from automl_transfer.registry import Registry


def loaded_registry() -> Registry:
    """What the plugins offer; a line on standard error for each that was set aside."""
    from automl_transfer.plugins import load_registry

    registry = load_registry()
    for line in registry.warnings():
        warn(line)
    return registry
