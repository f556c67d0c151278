"""Libraries are imported by name, when they are needed: none of them is, until it is wanted."""

from __future__ import annotations

import importlib
from typing import Any

from automl_transfer.errors import PluginError


def library(module: str, install: str) -> Any:
    """Imports a module.

    Args:
        module: Its full name.
        install: What to give to ``pip install`` where it is missing.

    Raises:
        PluginError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise PluginError(
            f"Its library must be installed, but {str(error)[:1].lower()}{str(error)[1:]}. "
            f"Run: pip install '{install}'"
        ) from error
