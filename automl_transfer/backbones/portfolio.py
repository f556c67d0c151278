"""The backbones that are tried when none are named, by size.

Each size mixes networks pretrained with labels, without labels and with captions, for no one kind
is best for all data. ``portfolio.json`` is written by ``benchmarks/make_portfolio.py``; reading it
loads no heavy library.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from automl_transfer.backbones import bundled
from automl_transfer.cards import BackboneCard
from automl_transfer.errors import UsageError, did_you_mean
from automl_transfer.jsonable import from_json

SIZES = ("tiny", "small", "base", "large")


def portfolio(size: str) -> tuple[BackboneCard, ...]:
    """The cards of a size, the bundled network first, which needs no network connection.

    Raises:
        UsageError: There is no such size.
    """
    if size not in SIZES:
        raise UsageError(
            f"A portfolio must be one of {', '.join(SIZES)}, but got {size!r}."
            f"{did_you_mean(size, SIZES)}"
        )
    content = _content()
    listed = tuple(from_json(BackboneCard, content["cards"][id]) for id in content["sizes"][size])
    return (bundled.CARD, *listed)


@functools.cache
def _content() -> Any:
    text = resources.files(__package__).joinpath("portfolio.json").read_text(encoding="utf-8")
    return json.loads(text)
