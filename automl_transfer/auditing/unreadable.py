"""Findings about items that cannot be used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from automl_transfer.audit import Finding, examples
from automl_transfer.dataset import Dataset, Quarantined

LOOKED_FOR = ("items that cannot be read",)

_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")
"""What differs between reasons that are the same: names and numbers."""


def unreadable_findings(dataset: Dataset) -> Iterator[Finding]:
    """One for each kind of reason, by what was set aside while the data were opened."""
    kinds: dict[str, list[Quarantined]] = defaultdict(list)
    for item in dataset.quarantined:
        kinds[item.kind or _general(item.reason)].append(item)
    for kind, items in kinds.items():
        yield Finding(
            kind=f"unreadable: {kind}",
            severity="warning",
            title=f"Items that cannot be used ({kind}): {len(items):,}",
            count=len(items),
            examples=examples(((item.source,), item.reason) for item in items),
            action="left out",
        )


def _general(reason: str) -> str:
    return " ".join(_PARTICULAR.sub("…", reason).split())
