"""Licence names as hubs write them, as SPDX identifiers."""

from __future__ import annotations

import re

# https://spdx.org/licenses/; hubs write the same names in lower case.
_SPDX = (
    "AGPL-3.0-only",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0-only",
    "MIT",
)
_KNOWN = {name.lower(): name for name in _SPDX} | {
    "agpl-3.0": "AGPL-3.0-only",
    "apache2.0": "Apache-2.0",
    "gpl-3.0": "GPL-3.0-only",
}
_UNKNOWN = frozenset({"", "unknown", "other", "none"})


def spdx(name: str | None) -> str | None:
    """The SPDX identifier of ``name``, ``LicenseRef-...`` if it has none, None if unknown."""
    lowered = (name or "").strip().lower()
    if lowered in _UNKNOWN:
        return None
    return _KNOWN.get(lowered) or f"LicenseRef-{re.sub(r'[^a-z0-9.]+', '-', lowered).strip('-')}"
