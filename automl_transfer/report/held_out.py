"""The winner on the test part, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_transfer.recommendation import HeldOutScore
from automl_transfer.report.blocks import (
    Block,
    Column,
    Heading,
    Listing,
    Paragraph,
    Table,
    columns,
)

MOST_CLASSES = 20
"""Up to so many classes the confusion matrix is shown."""
_AVERAGES = ("micro avg", "macro avg", "weighted avg", "samples avg")


def held_out_section(test: HeldOutScore, classes: Sequence[str]) -> list[Block]:
    """scikit-learn's classification report, and the confusion matrix."""
    section: list[Block] = [
        Heading(text="The winner on the test part"),
        Paragraph(text="Classification report (scikit-learn):"),
        _classification(test),
    ]
    count = len(test.confusion)
    if count > MOST_CLASSES:
        section.append(
            Paragraph(
                text=f"The confusion matrix of {count} classes is in recommendation.json "
                "(test, confusion)."
            )
        )
        return section
    names = classes if len(classes) == count else [str(number) for number in range(count)]
    section += [
        Paragraph(text="Confusion matrix (rows: true class; columns: predicted class):"),
        Table(
            columns=(
                Column(name="true"),
                *(Column(name=name, number=True) for name in names),
            ),
            rows=tuple(
                (name, *map(str, row)) for name, row in zip(names, test.confusion, strict=True)
            ),
        ),
    ]
    return section


def _classification(test: HeldOutScore) -> Block:
    by_class = [name for name, row in test.report.items() if _is_class(name, row)]
    if len(by_class) != len(test.confusion):
        # A class has the name of one of scikit-learn's own rows, and is missing in the dictionary.
        return Listing(text=test.report_text)
    rows = []
    for name, row in test.report.items():
        if isinstance(row, Mapping):
            shares = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1-score"))
            rows.append((name, *shares, f"{row['support']:.0f}"))
        else:
            rows.append((name, "", "", f"{row:.3f}", str(test.samples)))
    return Table(columns=columns("", "precision>", "recall>", "F1>", "samples>"), rows=tuple(rows))


def _is_class(name: str, row: Any) -> bool:
    return isinstance(row, Mapping) and name not in _AVERAGES
