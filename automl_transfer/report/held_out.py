"""The winner on samples that the search never saw, output by output, and where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl_transfer.recommendation import HeldOutScore
from automl_transfer.report.blocks import (
    Axis,
    Block,
    Chart,
    Column,
    Exhibit,
    Gallery,
    Heading,
    Listing,
    Paragraph,
    Series,
    Still,
    Table,
    columns,
)
from automl_transfer.report.certainty import place
from automl_transfer.report.figures import metric_words, score
from automl_transfer.report.reliability import reliability_section

MOST_CLASSES = 20
"""Up to so many classes the confusion matrix is shown."""
PARTS = 5
"""Of the numbers, in the table of predictions."""
MOST_PAIRS = 10
"""Of more classes, so many pairs that are taken for each other."""
_AVERAGES = ("micro avg", "macro avg", "weighted avg", "samples avg")


def held_out_section(
    test: HeldOutScore, classes: Sequence[str], stills: Mapping[str, Still] | None = None
) -> list[Block]:
    """scikit-learn's classification report, confusion matrix, reliability, confident errors; of
    numbers, what was predicted for them, and where it is furthest off.

    Args:
        test: The winner's score.
        classes: Their names; empty when they are not known.
        stills: Of samples, by source.
    """
    count = len(test.confusion)
    names = classes if len(classes) == count else [str(number) for number in range(count)]
    return [
        Heading(text=f"The winner {place(test)}"),
        *_metrics(test),
        *_classification(test),
        *_confusion(test, names),
        *reliability_section(test),
        *_points(test),
        *_errors(test, names, stills or {}),
        *_misses(test, stills or {}),
    ]


def _metrics(test: HeldOutScore) -> list[Block]:
    if not test.metrics:
        return []
    rows = tuple((metric_words(name), score(name, value)) for name, value in test.metrics.items())
    return [Table(columns=columns("metric", "value>"), rows=rows)]


def _confusion(test: HeldOutScore, names: Sequence[str]) -> list[Block]:
    count = len(test.confusion)
    if not count:
        return []
    if count > MOST_CLASSES:
        return [
            Paragraph(
                text=f"The confusion matrix of {count} classes is in recommendation.json "
                "(test, confusion). The most frequent confusions:"
            ),
            _most_confused(test, names),
        ]
    return [
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


def _most_confused(test: HeldOutScore, names: Sequence[str]) -> Table:
    pairs = sorted(
        (-number, true, predicted)
        for true, row in enumerate(test.confusion)
        for predicted, number in enumerate(row)
        if number and true != predicted
    )
    return Table(
        columns=columns("true", "predicted", "samples>"),
        rows=tuple(
            (names[true], names[predicted], str(-number))
            for number, true, predicted in pairs[:MOST_PAIRS]
        ),
    )


def _errors(test: HeldOutScore, names: Sequence[str], stills: Mapping[str, Still]) -> list[Block]:
    if not test.errors:
        return []
    return [
        Heading(text="Most confident errors", level=3),
        Paragraph(
            text="Where the winner was surest and wrong. Look here first for wrong labels and for "
            "classes that cannot be told apart."
        ),
        Gallery(
            exhibits=tuple(
                Exhibit(
                    name=row.source,
                    words=f"{_name(names, row.true)}, taken for {_name(names, row.predicted)} "
                    f"with {score('accuracy', row.confidence)}",
                    still=stills.get(row.source),
                )
                for row in test.errors
            )
        ),
    ]


def _name(names: Sequence[str], place: int) -> str:
    return names[place] if 0 <= place < len(names) else str(place)


def _points(test: HeldOutScore) -> list[Block]:
    if not test.points:
        return []
    true, predicted = zip(*test.points, strict=True)
    ends = min(*true, *predicted), max(*true, *predicted)
    parts = np.array_split(np.argsort(true, kind="stable"), min(PARTS, len(true)))
    numbers, found = np.array(true), np.array(predicted)
    return [
        Paragraph(
            text="What was predicted, by what is true: the samples in parts of equal size, from "
            "the lowest numbers to the highest."
        ),
        Table(
            columns=columns("true>", "predicted, mean>", "mean absolute error>", "samples>"),
            rows=tuple(
                (
                    f"{numbers[part].min():.4g} to {numbers[part].max():.4g}",
                    f"{found[part].mean():.4g}",
                    f"{np.abs(found[part] - numbers[part]).mean():.4g}",
                    f"{len(part):,}",
                )
                for part in parts
            ),
        ),
        Chart(
            title="Predicted and true numbers",
            description="What was predicted for each sample by what is true of it, beside the "
            "diagonal on which both are the same.",
            x=Axis(name="true"),
            y=Axis(name="predicted"),
            series=(
                Series(name="as predicted", kind="reference", x=ends, y=ends),
                Series(name="the winner", kind="points", x=tuple(true), y=tuple(predicted)),
            ),
        ),
    ]


def _misses(test: HeldOutScore, stills: Mapping[str, Still]) -> list[Block]:
    if not test.misses:
        return []
    return [
        Heading(text="Furthest off", level=3),
        Paragraph(
            text="Where what the winner says and what the data say are furthest apart. Look here "
            "first for wrong labels."
        ),
        Gallery(
            exhibits=tuple(
                Exhibit(
                    name=row.source,
                    words=f"{row.true}; predicted {row.predicted}",
                    still=stills.get(row.source),
                )
                for row in test.misses
            )
        ),
    ]


def _classification(test: HeldOutScore) -> list[Block]:
    if not test.report:
        return []
    words = Paragraph(text="Classification report (scikit-learn):")
    by_class = [name for name, row in test.report.items() if _is_class(name, row)]
    if test.confusion and len(by_class) != len(test.confusion):
        # A class has the name of one of scikit-learn's own rows, and is missing in the dictionary.
        return [words, Listing(text=test.report_text)]
    rows = []
    for name, row in test.report.items():
        if isinstance(row, Mapping):
            shares = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1-score"))
            rows.append((name, *shares, f"{row['support']:.0f}"))
        else:
            rows.append((name, "", "", f"{row:.3f}", str(test.samples)))
    head = columns("", "precision>", "recall>", "F1>", "samples>")
    return [words, Table(columns=head, rows=tuple(rows))]


def _is_class(name: str, row: Any) -> bool:
    return isinstance(row, Mapping) and name not in _AVERAGES
