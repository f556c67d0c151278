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
    help="The K most likely classes of each file.  [default: 1; with --json: all]",
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

    A directory stands for the files in it. A file that cannot be read gets a row that says why;
    if none can be read, the exit code is 4.
    """
    from automl_transfer.cli.terminal import write_blocks, write_json
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
        write_blocks([_table(rows, top or 1)])
    if all(row.error is not None for row in rows):
        ctx.exit(NOTHING_READ)


def _as_json(row: Prediction, top: int | None) -> dict[str, Any]:
    return {
        "source": row.source,
        "label": row.label,
        "probability": row.probability,
        "probabilities": dict(list(row.probabilities.items())[:top]),
        "error": row.error,
    }


def _table(rows: list[Prediction], top: int) -> Table:
    from automl_transfer.report.blocks import Table, columns
    from automl_transfer.report.figures import NOTHING

    wide = max((len(row.probabilities) for row in rows), default=0)
    places = range(max(1, min(top, wide)))
    failed = any(row.error is not None for row in rows)
    names = ["file"]
    for place in places:
        names += ["class" if place == 0 else f"class {place + 1}", "probability>"]
    if failed:
        names.append("error")
    cells = []
    for row in rows:
        ranked = list(row.probabilities.items())
        line = [row.source]
        for place in places:
            if place < len(ranked):
                line += [ranked[place][0], f"{ranked[place][1]:.3f}"]
            else:
                line += [NOTHING, NOTHING]
        cells.append((*line, row.error or "") if failed else tuple(line))
    return Table(columns=columns(*names), rows=tuple(cells))
