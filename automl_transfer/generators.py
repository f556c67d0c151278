"""Generators that yield how far they are, and return what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def ended(run: Generator[Any, Any, T], each: Callable[[Any], object] | None = None) -> T:
    """What a generator returns.

    Args:
        run: Is closed at the end, also where ``each`` raises.
        each: Called with what it yields.
    """
    with contextlib.closing(run):
        while True:
            try:
                step = next(run)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if each is not None:
                each(step)
