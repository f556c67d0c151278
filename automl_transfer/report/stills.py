"""Views of the samples that a report speaks of, where their modality has any."""

from __future__ import annotations

from collections.abc import Iterable

from automl_transfer.contracts import Modality, ShowsSamples
from automl_transfer.dataset import Dataset
from automl_transfer.report.blocks import Still


def stills(modality: Modality, dataset: Dataset, sources: Iterable[str]) -> dict[str, Still]:
    """A still for each source that can be shown.

    Args:
        modality: Of the data set; one that shows nothing gives none.
        dataset: Where the samples are looked up by their source.
        sources: Wanted; one that is unknown, or cannot be opened any more, is passed over.
    """
    wanted = set(sources)
    if not isinstance(modality, ShowsSamples):
        return {}
    found = {}
    for position, sample in enumerate(dataset.samples):
        if sample.source in wanted:
            try:
                media, content = modality.thumbnail(dataset, position)
            # A plugin's code, and files that may be gone: a report does without.
            except Exception:
                continue
            found[sample.source] = Still(media=media, content=content)
    return found
