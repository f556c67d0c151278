"""``automl-transfer data``."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl_transfer.cli.options import json_option
from automl_transfer.errors import UsageError

if TYPE_CHECKING:
    from automl_transfer.cards import SampleDataCard
    from automl_transfer.registry import Registry


@click.group()
def data() -> None:
    """Sample data to try the search on."""


@data.command(
    epilog="""\b
Examples:
  automl-transfer data sample --list
  automl-transfer data sample digits ./images --per-class 50"""
)
@click.argument("name", required=False)
@click.argument("directory", required=False)
@click.option("--per-class", type=int, metavar="N", help="At most N of each class.")
@click.option("--labelling", metavar="NAME", help="Which labels, where there are several.")
@click.option("--list", "as_list", is_flag=True, help="Only list the data sets.")
@json_option
def sample(
    name: str | None,
    directory: str | None,
    per_class: int | None,
    labelling: str | None,
    as_list: bool,
    as_json: bool,
) -> None:
    """Write the data set NAME into DIRECTORY as class folders; without NAME, list what there is.

    Nothing is downloaded: data sets come with packages. Nothing is ever written over.
    """
    from automl_transfer.cli.registry import loaded_registry
    from automl_transfer.cli.terminal import inform, write_json
    from automl_transfer.report.text import plain

    registry = loaded_registry()
    if name is None or as_list:
        _list(registry, as_json)
        return
    card = registry.sample(name)
    if directory is None:
        raise UsageError(
            "A directory to write to must be given, but there is none: "
            f"automl-transfer data sample {plain(name)} DIRECTORY"
        )
    if per_class is not None and per_class < 1:
        raise UsageError(f"--per-class must be at least 1, but got {per_class}.")
    from automl_transfer.sample_data import write_sample

    count = write_sample(card, registry.load(card), Path(directory), labelling, per_class)
    if as_json:
        write_json(
            {"name": card.id, "directory": directory, "files": count, "license": card.license}
        )
        return
    click.echo(f"{plain(card.title)}: {count:,} files in {plain(directory)}")
    click.echo(
        f"Licence: {plain(card.license)}" + (f" ({plain(card.source)})" if card.source else "")
    )
    inform(f"Next: automl-transfer search --data {plain(directory)} --budget 5m")


def _list(registry: Registry, as_json: bool) -> None:
    from automl_transfer.cli.terminal import write_blocks, write_json
    from automl_transfer.report.blocks import Table, columns

    cards = [entry.card for entry in registry.sample_data.values()]
    if as_json:
        write_json(
            [
                {
                    "name": card.id,
                    "title": card.title,
                    "license": card.license,
                    "labellings": list(card.labellings),
                    "installed": installed(card),
                    "requires": card.requires,
                    "source": card.source,
                }
                for card in cards
            ]
        )
        return
    rows = tuple(
        (
            card.id,
            card.title,
            card.license,
            ", ".join(card.labellings),
            "yes" if installed(card) else f"no: pip install '{card.requires}'",
        )
        for card in cards
    )
    write_blocks(
        [Table(columns=columns("name", "title", "licence", "labellings", "installed"), rows=rows)]
    )


def installed(card: SampleDataCard) -> bool:
    """Whether the package that brings the data is installed."""
    if card.requires is None:
        return True
    name = re.match(r"[\w.-]+", card.requires)
    try:
        version(name[0] if name else card.requires)
    except PackageNotFoundError:
        return False
    return True
