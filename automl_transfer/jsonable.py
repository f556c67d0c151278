"""Frozen dataclasses to plain JSON values and back (cattrs does the work).

It is imported when something is converted: cards are checked and listed without it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from automl_transfer.space import Param, Scalar

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


@functools.cache
def _converter() -> Converter:
    from cattrs.preconf.json import make_converter
    from cattrs.strategies import configure_tagged_union

    converter: Converter = make_converter()
    # JSON knows no difference between 1 and 1.0 in a union; keep what the value is.
    converter.register_structure_hook(Scalar, lambda value, _: value)
    converter.register_unstructure_hook(Scalar, lambda value: value)
    converter.register_structure_hook(Any, lambda value, _: value)
    configure_tagged_union(
        Param, converter, tag_name="kind", tag_generator=lambda kind: kind.__name__.lower()
    )
    return converter


def to_json(value: Any, kind: Any = None) -> Any:
    """Returns ``value`` as dictionaries, lists, strings and numbers."""
    return _converter().unstructure(value, unstructure_as=kind)


def from_json(kind: type[T], data: Any) -> T:
    """Builds a ``kind`` from what :func:`to_json` returned.

    Raises:
        cattrs.BaseValidationError: ``data`` does not have the form of ``kind``.
    """
    return _converter().structure(data, kind)


def require_json(value: Any) -> None:
    """Checks that a dataclass holds JSON values, mappings and further dataclasses only.

    Raises:
        TypeError: It holds something else.
        ValueError: A number is not finite, or it holds itself.
    """
    _STRICT.encode(value)


def _fields(value: Any) -> Mapping[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        # Of cards by the hundred, this is several times as fast as `fields`.
        known: Mapping[str, Any] | None = getattr(value, "__dict__", None)
        if known is None:  # it has slots
            return {field.name: getattr(value, field.name) for field in fields(value)}
        return known
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r:.80} is no JSON value")


_STRICT = json.JSONEncoder(sort_keys=True, allow_nan=False, default=_fields)


def canonical(value: Any) -> str:
    """The one JSON text of ``value``: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """First ``length`` hexadecimal digits of the SHA-256 of the canonical JSON text."""
    import hashlib  # with OpenSSL, which listing cards does not need

    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
