"""Looks at a data set before anything is trained: by names, labels and ids, whatever the kind of
data, and by what their modality sees in them (:class:`.contracts.Examines`).

Nothing is changed: what is found is told, with what a search does about it.
"""

from __future__ import annotations

from automl_transfer.auditing.examination import Audited, audit_dataset, unusable

__all__ = ["Audited", "audit_dataset", "unusable"]
