"""Tables of plain text and numbers, the same everywhere on the page."""

from __future__ import annotations

import inspect
from typing import Any

import pandas as pd
import streamlit as st

from automl_transfer.dashboard.wording import in_per_cent

_KNOWN = frozenset(inspect.signature(st.dataframe).parameters)


def knows(option: str) -> bool:
    """Whether the installed version of Streamlit has this option of ``st.dataframe``."""
    return option in _KNOWN


def table(frame: pd.DataFrame, **options: Any) -> Any:
    """Draws ``frame`` over the whole width, with nothing in the cells that have no value.

    Returns:
        What ``st.dataframe`` returns: what is selected, if rows can be.
    """
    if knows("placeholder"):
        options.setdefault("placeholder", "")
    return st.dataframe(frame, hide_index=True, width="stretch", **options)


def scaled(values: pd.Series, metric: str) -> pd.Series:
    """Values of a metric as :func:`number_format` prints them: shares become per cent."""
    return values * 100 if in_per_cent(metric) else values


def number_format(metric: str) -> str:
    """The format of a column of :func:`scaled` values."""
    return "%.1f %%" if in_per_cent(metric) else "%.4f"
