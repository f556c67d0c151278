"""Frozen dataclasses to plain JSON values and back (cattrs does the work)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from automl_transfer.space import Param, Scalar

T = TypeVar("T")


def _make() -> Converter:
    converter: Converter = make_converter()
    # JSON knows no difference between 1 and 1.0 in a union; keep what the value is.
    converter.register_structure_hook(Scalar, lambda value, _: value)
    converter.register_unstructure_hook(Scalar, lambda value: value)
    converter.register_structure_hook(Any, lambda value, _: value)
    configure_tagged_union(
        Param, converter, tag_name="kind", tag_generator=lambda kind: kind.__name__.lower()
    )
    return converter


_CONVERTER = _make()


def to_json(value: Any, kind: Any = None) -> Any:
    """Returns ``value`` as dictionaries, lists, strings and numbers."""
    return _CONVERTER.unstructure(value, unstructure_as=kind)


def from_json(kind: type[T], data: Any) -> T:
    """Builds a ``kind`` from what :func:`to_json` returned.

    Raises:
        cattrs.BaseValidationError: ``data`` does not have the form of ``kind``.
    """
    return _CONVERTER.structure(data, kind)


def canonical(value: Any) -> str:
    """The one JSON text of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """First ``length`` hexadecimal digits of the SHA-256 of the canonical JSON text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
