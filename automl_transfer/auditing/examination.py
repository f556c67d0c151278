"""All findings about a data set, and which of its samples belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.audit import Audit, Example, Finding
from automl_transfer.auditing import copies, groups, naming, unreadable
from automl_transfer.auditing.clusters import cluster
from automl_transfer.contracts import Examined, Examines, Modality, Progress, ReadRows
from automl_transfer.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What came of an audit."""

    audit: Audit
    clusters: NDArray[np.int64]
    """The same number for samples that belong in one part, shape (n,)."""


def audit_dataset(
    dataset: Dataset,
    modality: Modality,
    rows: ReadRows,
    progress: Progress | None = None,
) -> Audited:
    """Looks for everything that can be said before anything is trained.

    Args:
        dataset: Opened.
        modality: Of the data. If it does not :class:`.Examines`, near copies are not looked for,
            and only equal content belongs together.
        rows: See :class:`.Examines`.
        progress: Told how many samples have been looked at.
    """
    examined, trouble = Examined(), list[Finding]()
    if isinstance(modality, Examines):
        try:
            examined = modality.examine(dataset, rows, progress)
        except Exception as error:  # a look at the data must not cost the search
            trouble.append(_failed(error))
    near = isinstance(modality, Examines) and not trouble
    ids = [sample.id for sample in dataset.samples]
    found = cluster(ids, examined.pairs, examined.distances)
    findings: Sequence[Finding] = [
        *trouble,
        *unreadable.unreadable_findings(dataset),
        *naming.class_findings(dataset),
        *copies.exact_findings(dataset),
        *copies.near_findings(dataset, found),
        *groups.group_findings(dataset),
        *examined.findings,
    ]
    looked_for = [
        *unreadable.LOOKED_FOR,
        *naming.looked_for(dataset),
        *copies.LOOKED_FOR,
        *(copies.LOOKED_FOR_NEAR if near else ()),
        *(groups.LOOKED_FOR if groups.divisible(dataset) else ()),
        *examined.looked_for,
    ]
    audit = Audit.of(samples=len(ids), looked_for=looked_for, findings=findings)
    return Audited(audit=audit, clusters=found.numbers)


def unusable(reason: str) -> Audit:
    """The audit of data that could not even be opened."""
    finding = Finding(
        kind="unusable",
        severity="error",
        title="The data cannot be used as they are",
        count=1,
        examples=(Example(sources=(), words=reason),),
        action="a search refuses them",
    )
    return Audit.of(samples=0, looked_for=("data that can be opened",), findings=[finding])


def _failed(error: Exception) -> Finding:
    return Finding(
        kind="not-examined",
        severity="warning",
        title="The samples could not be looked into",
        count=1,
        examples=(Example(sources=(), words=f"{type(error).__name__}: {error}"[:500]),),
        action="only names, labels and equal content were audited",
    )
