"""Commands that end in a moment."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def brief() -> Iterator[None]:
    """Looks for nothing that could be freed, not at the end of the process either: what such a
    command makes is needed until then."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
