"""Where the pages look for studies, and what their address in the browser asks for.

Whatever an address says is untrusted: it is compared with what was found, and never opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

STUDIES_VARIABLE = "AUTOML_TRANSFER_STUDIES"
"""Environment variable with the directory of the studies."""
LONGEST = 1000
"""Characters of a value in an address that are looked at: names of classes may be long."""
MOST = 64
"""Numbers of a list."""


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


def text(name: str) -> str | None:
    """What the address says of ``name``; None where it says nothing."""
    value = st.query_params.get(name)
    return None if value is None else value[:LONGEST]


def number(name: str) -> int | None:
    """The same as a number, if it is one that is not negative."""
    value = text(name) or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def numbers(name: str) -> list[int]:
    """The numbers in ``1,5,3``, each once, in their order; what is none is passed over."""
    words = (st.query_params.get(name) or "").split(",", MOST)[:MOST]
    found = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10]
    return list(dict.fromkeys(found))


def words(name: str, known: Sequence[str]) -> list[str]:
    """The values of ``name``, which may occur several times, that are among the known ones."""
    asked = st.query_params.get_all(name)
    return [value for value in dict.fromkeys(asked) if value in known]


def put(**values: str | int | Sequence[str | int] | None) -> None:
    """Puts values into the address, and takes out those that are None or empty."""
    for name, value in values.items():
        if value is None or value == "" or (isinstance(value, (list, tuple)) and not value):
            st.query_params.pop(name, None)
        elif isinstance(value, (str, int)):
            st.query_params[name] = str(value)
        else:
            st.query_params[name] = [str(one) for one in value]
