"""``automl-transfer predict``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from automl_transfer.cli.options import (
    GroupedCommand,
    json_option,
    storage_option,
    studies_option,
)
from automl_transfer.errors import DataError, UsageError

if TYPE_CHECKING:
    from automl_transfer.report.blocks import Table
    from automl_transfer.trained import Prediction

NOTHING_READ = 4


@click.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  automl-transfer predict images-1a2b3c photo.jpg other.png --top 3
  automl-transfer predict images-1a2b3c *.jpg --json""",
)
@click.argument("study")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@studies_option
@storage_option
@click.option("--device", default="auto", metavar="DEVICE", show_default=True)
@click.option(
    "--top",
    type=int,
    metavar="K",
    help="The K most likely classes or labels of each file.  [default: 1 class, or the labels "
    "that hold; with --json: all]",
)
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    study: str,
    files: tuple[str, ...],
    studies: str,
    storage: str | None,
    device: str,
    top: int | None,
    as_json: bool,
) -> None:
    """Predict files with the trained winner of STUDY (its name or directory).

    A directory or an archive stands for the files in it. A file that cannot be read gets a row
    that says why; if none can be read, the exit code is 4.
    """
    from automl_transfer.cli.streams import write_json
    from automl_transfer.cli.terminal import write_blocks
    from automl_transfer.study import predict as run

    if top is not None and top < 1:
        raise UsageError(f"--top must be at least 1, but got {top}.")
    rows = run(study, files, studies=studies, device=device, storage=storage)
    if not rows:
        raise DataError(
            f"At least one file to predict is needed, but {', '.join(map(repr, files))} hold none."
        )
    if as_json:
        write_json([_as_json(row, top) for row in rows])
    else:
        write_blocks([_table(rows, top)])
    if all(row.error is not None for row in rows):
        ctx.exit(NOTHING_READ)


def _as_json(row: Prediction, top: int | None) -> dict[str, Any]:
    return {
        "source": row.source,
        "label": row.label,
        "probability": row.probability,
        "probabilities": dict(list(row.probabilities.items())[:top]),
        "labels": row.labels,
        "number": row.number,
        "error": row.error,
    }


def _table(rows: list[Prediction], top: int | None) -> Table:
    from automl_transfer.report.blocks import Table, columns
    from automl_transfer.report.figures import NOTHING

    read = [row for row in rows if row.error is None]
    if any(row.number is not None for row in read):
        names, cells = ["number>"], [[f"{row.number:.6g}"] for row in read]
    elif top is None and any(row.labels is not None for row in read):
        names = ["labels", "probabilities"]
        cells = [
            [
                "; ".join(row.labels or ()) or NOTHING,
                "; ".join(f"{row.probabilities[name]:.3f}" for name in row.labels or ()),
            ]
            for row in read
        ]
    else:
        what = "label" if any(row.labels is not None for row in read) else "class"
        names, cells = _ranked(read, top or 1, what)
    nothing = [NOTHING] * len(names)
    found = iter(cells)
    lines = [[row.source, *(next(found) if row.error is None else nothing)] for row in rows]
    if len(read) < len(rows):
        names.append("error")
        lines = [[*line, row.error or ""] for line, row in zip(lines, rows, strict=True)]
    return Table(columns=columns("file", *names), rows=tuple(map(tuple, lines)))


def _ranked(rows: list[Prediction], top: int, what: str) -> tuple[list[str], list[list[str]]]:
    """Columns and cells of the most likely classes or labels."""
    wide = max((len(row.probabilities) for row in rows), default=0)
    places = range(max(1, min(top, wide)))
    names = []
    for place in places:
        names += [what if place == 0 else f"{what} {place + 1}", "probability>"]
    cells = []
    for row in rows:
        line = []
        for name, chance in list(row.probabilities.items())[: len(places)]:
            line += [name, f"{chance:.3f}"]
        cells.append(line)
    return names, cells
