"""What the user asks of an answer besides its score: cost, speed, licence."""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

from automl_transfer.errors import UsageError

Preference = Literal["accuracy", "latency", "size", "memory", "training-time"]
PREFERENCES: tuple[Preference, ...] = ("accuracy", "latency", "size", "memory", "training-time")
"""What may decide between configurations that no test tells apart."""

LicensePolicy = Literal["any", "permissive"]
LICENSE_POLICIES: tuple[LicensePolicy, ...] = ("any", "permissive")

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-2-Clause-Patent",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "PDDL-1.0",
        "Unlicense",
        "Zlib",
    }
)
"""SPDX identifiers of licences that allow use for any purpose, change and redistribution, and ask
for no more than attribution. CC-BY is among them: it asks for attribution only. Licences that ask
for the same terms (GPL, CC-BY-SA, ODbL), that forbid commercial use (NC) or changes (ND), or that
restrict the field of use (OpenRAIL, the research licences of model makers) are not."""

_LATENCY = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)", re.IGNORECASE)


def parse_latency(text: str) -> float:
    """Seconds in a text such as ``20ms`` or ``0.5s``.

    Raises:
        UsageError: The text is no such time, or not above 0.
    """
    found = _LATENCY.fullmatch(text.strip())
    seconds = float(found[1]) / (1000 if found[2].lower() == "ms" else 1) if found else 0.0
    if seconds <= 0:
        raise UsageError(
            "--max-latency is a time above 0 with its unit, ms or s (20ms, 0.5s), but got "
            f"{text!r}."
        )
    return seconds


def exact_latency(seconds: float) -> str:
    """A text that :func:`parse_latency` reads as ``seconds``, to twelve digits: ``20ms``."""
    return f"{1000 * seconds:.12f}".rstrip("0").rstrip(".") + "ms"


def license_obstacle(license: str | None) -> str | None:
    """Why weights under ``license`` are no permissive ones; None if they are.

    Args:
        license: An SPDX expression (of ``A OR B`` one must be permissive, of ``A AND B`` both),
            or None when it is not known: what is not known to be allowed is not proposed.
    """
    from license_expression import ExpressionError

    if license is None or not license.strip():
        return "the licence of its weights is not known, and --license permissive asks for one"
    try:
        parsed = _licensing().parse(license)
    except ExpressionError:
        parsed = None
    if parsed is None:
        return (
            f"the licence of its weights, {license!r}, is no SPDX expression, and --license "
            "permissive asks for one"
        )
    if _permits(parsed):
        return None
    return f"the licence of its weights is {license}, which --license permissive does not allow"


def is_license(text: str) -> bool:
    """Whether a text is an SPDX expression, of licences on its list or ``LicenseRef-...``."""
    from license_expression import ExpressionError

    try:
        parsed = _licensing().parse(text)
    except ExpressionError:
        return False
    if parsed is None:
        return False
    unknown = _licensing().unknown_license_keys(parsed)
    return all(key.startswith("LicenseRef-") for key in unknown)


@functools.cache
def _licensing() -> Any:
    """The list of SPDX, which takes a while to read."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _permits(expression: object) -> bool:
    from license_expression import AND, OR, LicenseSymbol, LicenseWithExceptionSymbol

    if isinstance(expression, OR):
        return any(map(_permits, expression.args))
    if isinstance(expression, AND):
        return all(map(_permits, expression.args))
    if isinstance(expression, LicenseWithExceptionSymbol):
        return _permits(expression.license_symbol)  # an exception only ever adds a permission
    return isinstance(expression, LicenseSymbol) and expression.key in PERMISSIVE
