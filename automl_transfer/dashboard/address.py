"""Where the page looks for studies, and what its address in the browser asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

STUDIES_VARIABLE = "AUTOML_TRANSFER_STUDIES"
"""Environment variable with the directory of the studies."""


def studies_directory(arguments: Sequence[str] | None = None) -> Path:
    """The directory after ``--studies``, else that of the environment, else ``studies``.

    Args:
        arguments: The words after the script; None: those of this process. Unknown ones are left
            alone, since a page can be run by more than one server.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for position, word in enumerate(words):
        if word.startswith("--studies="):
            return Path(word.removeprefix("--studies="))
        if word == "--studies" and position + 1 < len(words):
            return Path(words[position + 1])
    return Path(os.environ.get(STUDIES_VARIABLE) or "studies")


def wanted_study() -> str | None:
    """The study that the address names. Untrusted: compare it with names, never open it."""
    return st.query_params.get("study")


def wanted_trial() -> str | None:
    """The trial that the address names. Untrusted."""
    return st.query_params.get("trial")


def go_to(study: str | None, trial: int | None = None) -> None:
    """Puts a study, and a trial of it, into the address; None for the list of studies."""
    asked = {}
    if study is not None:
        asked["study"] = study
        if trial is not None:
            asked["trial"] = str(trial)
    if st.query_params.to_dict() != asked:
        st.query_params.from_dict(asked)
