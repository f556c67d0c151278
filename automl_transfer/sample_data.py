"""Writes small labelled data sets that installed packages carry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from automl_transfer.cards import SampleDataCard
from automl_transfer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from automl_transfer.contracts import WriteSampleData

SOURCE_FILE = "SOURCE.txt"
"""Written beside the class folders: what the data are, where they come from, on what terms."""


def write_sample(
    card: SampleDataCard,
    factory: WriteSampleData,
    directory: Path,
    labelling: str | None = None,
    per_class: int | None = None,
) -> int:
    """Writes a sample data set as class folders, entirely or not at all.

    Args:
        card: Of the data set.
        factory: What the card's ``factory`` names.
        directory: Must not exist, or be empty. Its parents are made.
        labelling: One of ``card.labellings``; None: the first.
        per_class: At most as many files a class; None: all.

    Returns:
        The number of files written, without :data:`SOURCE_FILE`.

    Raises:
        UsageError: Something is there already, an argument does not fit, or the package that
            carries the data is not installed.
    """
    chosen = _labelling(card, labelling)
    if per_class is not None and per_class < 1:
        raise UsageError(f"The number of files a class must be at least 1, but got {per_class}.")
    _require_free(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{directory.name}-", dir=directory.parent
        ) as beside:
            # A folder in it, since the temporary one itself is closed to other users.
            unfinished = Path(beside) / "data"
            unfinished.mkdir()
            count = factory(directory=unfinished, labelling=chosen, per_class=per_class)
            (unfinished / SOURCE_FILE).write_text(_source(card, chosen), encoding="utf-8")
            _require_free(directory)
            if directory.exists():
                directory.rmdir()
            unfinished.rename(directory)
    except ModuleNotFoundError as error:
        if card.requires is None:
            raise
        raise UsageError(
            f"Sample data {card.id!r} come in the package {card.requires!r}, which is not "
            f"installed. Run: {_install(card)}"
        ) from error
    except OSError as error:
        raise UsageError(
            f"The folder for sample data must be one that can be written, but {str(directory)!r} "
            f"cannot: {error}. Choose another."
        ) from error
    return count


def spread(names: Iterable[str], count: int | None) -> list[str]:
    """Picks ``count`` of ``names`` from all over them: always the same, in a fixed order.

    A larger ``count`` adds to what a smaller one picks; None takes all.
    """
    import hashlib  # with OpenSSL, which listing plugins does not need

    mixed = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return sorted(mixed[:count])


def _labelling(card: SampleDataCard, wanted: str | None) -> str | None:
    if wanted is None:
        return card.labellings[0] if card.labellings else None
    if not card.labellings:
        raise UsageError(
            f"Sample data {card.id!r} have one labelling only, but {wanted!r} was asked for. "
            "Leave it out."
        )
    if wanted not in card.labellings:
        raise UsageError(
            f"The labelling of {card.id!r} must be one of {', '.join(card.labellings)}, but got "
            f"{wanted!r}.{did_you_mean(wanted, card.labellings)}"
        )
    return wanted


def _require_free(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise UsageError(
            f"Sample data are written to a new folder, but {str(directory)!r} is a file or link. "
            "Choose another name."
        )
    if directory.is_dir() and any(directory.iterdir()):
        raise UsageError(
            f"Sample data are never written over anything, but {str(directory)!r} is not empty. "
            "Choose another name."
        )


def _install(card: SampleDataCard) -> str:
    own = card.factory.startswith(f"{__name__.partition('.')[0]}.")
    alone = f'pip install "{card.requires}"'
    return f'pip install "automl-transfer[samples]" (or {alone})' if own else alone


def _source(card: SampleDataCard, labelling: str | None) -> str:
    lines = [
        f"Data: {card.title} ({card.id})",
        *([f"Labelling: {labelling}"] if labelling else []),
        *([f"Source: {card.source}"] if card.source else []),
        f"Licence: {card.license}",
        "Written by: automl-transfer data sample",
    ]
    return "\n".join(lines) + "\n"
