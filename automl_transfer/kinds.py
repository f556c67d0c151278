"""The kinds of targets, as words; :mod:`automl_transfer.target` has their forms as arrays."""

from __future__ import annotations

from typing import Literal

Kind = Literal["single-label", "multi-label", "regression"]
KINDS: tuple[Kind, ...] = ("single-label", "multi-label", "regression")


def word_of(kind: Kind) -> str:
    """What names are of, in words: ``class``, ``label`` or ``number``."""
    return {"single-label": "class", "multi-label": "label", "regression": "number"}[kind]
