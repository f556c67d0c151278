"""Which pretrained backbone, head and freeze strategy for this data?

Importing this package loads nothing heavy; each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_transfer.hookspecs import API, hookimpl
    from automl_transfer.searching import search
    from automl_transfer.study import Study, list_studies, open_study, predict
    from automl_transfer.trained import Model, Prediction

__version__ = "0.1.0"

_HOMES = {
    "API": "hookspecs",
    "hookimpl": "hookspecs",
    "Model": "trained",
    "Prediction": "trained",
    "predict": "study",
    "search": "searching",
    "Study": "study",
    "list_studies": "study",
    "open_study": "study",
}

__all__ = [
    "API",
    "Model",
    "Prediction",
    "Study",
    "__version__",
    "hookimpl",
    "list_studies",
    "open_study",
    "predict",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
