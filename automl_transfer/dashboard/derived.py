"""What is worked out of a study once, and again only when the study has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from automl_transfer.dashboard.snapshot import Snapshot

T = TypeVar("T")


def derived(study: Snapshot, what: str, make: Callable[[], T]) -> T:
    """What ``make`` returns for this moment of this study. Nobody may change it.

    Args:
        study: Of which it is made.
        what: Names what is made, and all else that it depends on.
        make: Makes it.
    """
    found: T = _made(study.directory.as_posix(), _moment(study), what, make)
    return found


def _moment(study: Snapshot) -> tuple[Any, ...]:
    running = [(trial.number, trial.done) for trial in study.running]
    return (
        study.made,
        study.status.get("updated"),
        len(study.trials),
        bool(study.importances),
        *running,
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _made(directory: str, moment: tuple[Any, ...], what: str, _make: Callable[[], Any]) -> Any:
    return _make()
