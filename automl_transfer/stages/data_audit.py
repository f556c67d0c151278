"""Audits the data of a search, as the first thing it does with them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from automl_transfer.audit import Audit, Finding, stored_audit
from automl_transfer.auditing import Audited, audit_dataset
from automl_transfer.auditing.labels import KIND, LOOKED_FOR
from automl_transfer.contracts import Modality, RawRows, ReadRows
from automl_transfer.dataset import Dataset
from automl_transfer.errors import PluginError
from automl_transfer.events import Event, Note
from automl_transfer.jsonable import to_json
from automl_transfer.stages.context import Context
from automl_transfer.stages.following import followed
from automl_transfer.training.array_cache import ArrayCache

TOLD = 3
"""Findings that a search says one by one; the rest are in its audit."""


def audit(
    context: Context, modality: Modality, dataset: Dataset
) -> Generator[Event, None, NDArray[np.int64]]:
    """Audits the data of a search, keeps what was found, and says what matters.

    Returns:
        The same number for samples that belong in one part, shape (n,).
    """
    rows = raw_rows(modality, dataset, context.cache)
    found: Audited = yield from followed(
        "auditing", lambda progress: audit_dataset(dataset, modality, rows, progress)
    )
    keep_audit(context, _with_later(context, dataset, found.audit))
    for text, level in _told(found.audit):
        context.notes.append(text)
        yield Note(text=text, level=level)
    return found.clusters


def _with_later(context: Context, dataset: Dataset, found: Audit) -> Audit:
    """An audit with what an earlier session found in the same data after its trials."""
    before = stored_audit(context.store.get("audit"))
    data = context.store.get("data") or {}
    if before is None or data.get("fingerprint") != dataset.fingerprint:
        return found
    if LOOKED_FOR not in before.looked_for:
        return found
    late = next((one for one in before.findings if one.kind == KIND), None)
    return (
        found.without(KIND, LOOKED_FOR) if late is None else found.with_finding(late, LOOKED_FOR)
    )


def keep_audit(context: Context, audit: Audit) -> None:
    """Writes ``audit.json`` and the document ``audit``."""
    stored = to_json(audit)
    context.files.write_json("audit.json", stored)
    context.store.put("audit", stored)


def add_finding(context: Context, finding: Finding | None, kind: str, looked_for: str) -> None:
    """Adds what a later stage has found to the audit of a search.

    Args:
        context: Whose audit has been kept.
        finding: None: it was looked for and not found.
        kind: Of the finding; an earlier one of this kind goes.
        looked_for: In words.
    """
    before = stored_audit(context.store.get("audit"))
    if before is None:
        return
    keep_audit(
        context,
        before.without(kind, looked_for)
        if finding is None
        else before.with_finding(finding, looked_for),
    )


def raw_rows(modality: Modality, dataset: Dataset, cache: ArrayCache) -> ReadRows:
    """Reads rows of the modality's ``raw_input``, which opening the data has kept."""
    from automl_transfer.training.rows import RowStore

    if not isinstance(modality, RawRows):
        return _no_rows
    encoder = modality.encoder(dataset.root, modality.raw_input, {})
    store = RowStore(encoder, dataset.samples, cache)
    return lambda positions: np.stack(store.rows(positions))


def _no_rows(positions: NDArray[np.int64]) -> NDArray[np.generic]:
    raise PluginError(
        f"A modality that examines its data must have `raw_input`, but {len(positions)} rows were "
        "asked for and it has none."
    )


def _told(found: Audit) -> list[tuple[str, Literal["info", "warning"]]]:
    """What a search says of an audit: a line for the gravest, and where to see the rest."""
    # What cannot be read has a note of its own.
    findings = [one for one in found.findings if not one.kind.startswith("unreadable")]
    grave = [one for one in findings if one.severity != "info"]
    lines: list[tuple[str, Literal["info", "warning"]]] = [
        (f"{one.title}; {one.action}.", "warning") for one in grave[:TOLD]
    ]
    rest = len(findings) - len(lines)
    if rest:
        what = ("more " if lines else "") + ("finding" if rest == 1 else "findings")
        lines.append(
            (
                f"{rest} {what} about the data: see audit.json, or `automl-transfer data check`.",
                "warning" if len(grave) > TOLD else "info",
            )
        )
    return lines
